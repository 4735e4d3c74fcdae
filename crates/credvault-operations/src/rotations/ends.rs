//! Ends keys at their provider that are due to end.

use std::sync::Arc;
use std::time::Duration;

use credvault_broker::TestError;
use credvault_catalog::{Mint, Mode, RevocationCall, Verdict};
use credvault_domain::{Action, Timestamp};
use credvault_store::{ConnectionKey, Error as StoreError, KeyEnd, KeyToEnd};

use crate::{Call, Context};

/// How long the test of a key may take that is to end.
const TEST_TIME: Duration = Duration::from_secs(60);
/// For how long after its time a key waits for a provider that wants no call yet, before that counts as an attempt.
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 3600);

/// Ends those keys of a connection that are due, at once.
///
/// # Errors
/// The vault's own database fails.
pub(super) async fn end_now(
    context: &Arc<Context>,
    key: &ConnectionKey,
    mode: &Mode,
) -> Result<(), StoreError> {
    let rotations = context.store.credential_rotations();
    let Some(work) = rotations.look(key).await? else { return Ok(()) };
    end_keys(context, key, &work.ends, mode).await?;
    rotations.looked(key, mode.mints_with(&work.connection.config)).await
}

/// Makes an attempt to end each of the keys with these numbers.
///
/// # Errors
/// The vault's own database fails; another attempt follows.
pub(super) async fn end_keys(
    context: &Arc<Context>,
    key: &ConnectionKey,
    numbers: &[i64],
    mode: &Mode,
) -> Result<(), StoreError> {
    let rotations = context.store.credential_rotations();
    let names = mode.mint().map(Mint::field_names).unwrap_or_default();
    for number in numbers {
        let to_end = match rotations.begin_end(key, *number, &names).await {
            Ok(Some(to_end)) => to_end,
            Ok(None) => continue,
            Err(StoreError::Integrity) => {
                rotations.drop_broken(key, *number).await?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let end = match mode.mint() {
            Some(mint) => {
                let since = to_end.create_time.after(mint.overlap());
                counted(end_key(context, &to_end, mode, mint).await?, context.now(), since)
            }
            // The call was taken from the provider's file, or is not yet in the one that this replica has: others make the
            // next attempts.
            None => KeyEnd::Pending,
        };
        // What is left at the provider is counted where it is stored.
        if end != KeyEnd::ByHand {
            metrics::counter!("credvault_rotated_keys_total", "outcome" => end.as_str()).increment(1);
        }
        rotations.end_attempted(&to_end, end).await?;
    }
    Ok(())
}

/// How an attempt counts to end a key at the latest since `since`: a provider that always asks for a later call does not end it.
fn counted(end: KeyEnd, now: Timestamp, since: Timestamp) -> KeyEnd {
    match end {
        KeyEnd::Later(_) if now > since.after(PATIENCE) => KeyEnd::Pending,
        end @ (KeyEnd::Later(_) | KeyEnd::Ended | KeyEnd::Pending | KeyEnd::ByHand) => end,
    }
}

/// Has the provider end a key. A call that does not name it may end another one once this one has ended, so the provider is
/// asked first whether it still accepts it.
async fn end_key(
    context: &Arc<Context>,
    to_end: &KeyToEnd,
    mode: &Mode,
    mint: &Mint,
) -> Result<KeyEnd, StoreError> {
    let config = &to_end.connection.config;
    if mint.end_call(to_end.replaced).is_none_or(RevocationCall::names_key)
        || mode.check_destinations(config).is_err()
    {
        return context.broker.end_key(to_end, mode, mint).await;
    }
    let own = Call::of_vault(context, Action::RotateCredential, to_end.key.tenant().clone(), TEST_TIME);
    let Ok(scope) = own.scope() else { return Ok(KeyEnd::Pending) };
    let (provider, fields) = (&to_end.connection.provider, &to_end.fields);
    match context.broker.test(&scope, provider, mode, config, fields).await {
        Ok(Verdict::Works { .. } | Verdict::Limited) => context.broker.end_key(to_end, mode, mint).await,
        Ok(Verdict::Refused) => Ok(KeyEnd::Ended),
        Ok(Verdict::Unclear(_)) => Ok(KeyEnd::Pending),
        Err(TestError::Store(error)) => Err(error),
        Err(TestError::Unavailable | TestError::Untestable | TestError::Invalid(_)) => Ok(KeyEnd::Pending),
        Err(TestError::Throttled { retry }) => Ok(KeyEnd::Later(retry)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_always_asks_for_a_later_call_is_not_waited_for_without_end() {
        let (since, later) = (Timestamp::from_micros(0), KeyEnd::Later(Duration::from_secs(120)));
        assert_eq!(counted(later, since.after(PATIENCE), since), later);
        let afterwards = since.after(PATIENCE + Duration::from_secs(1));
        assert_eq!(counted(later, afterwards, since), KeyEnd::Pending);
        assert_eq!(counted(KeyEnd::Ended, afterwards, since), KeyEnd::Ended);
    }
}
