//! The jobs about keys: which root keys there are, rotations in progress, keys that are due to be rotated or destroyed; and
//! secrets in external stores.

use std::time::Duration;

use credvault_broker::every;
use credvault_domain::chain;
use credvault_store::Urgency;
use tokio_util::sync::CancellationToken;

use crate::settings::Keys;
use crate::shared::Shared;

/// How often a process says which root keys it has, and learns which one wraps.
const ROOT_KEYS_INTERVAL: Duration = Duration::from_secs(5);
/// How often rotations that wait are looked for.
const ROTATION_INTERVAL: Duration = Duration::from_secs(1);
/// How often ages and uses of keys are looked at: what a killed process loses of its counts at most.
const AGES_INTERVAL: Duration = Duration::from_secs(60);
/// How often external stores are looked through for what another replica has left there without a word.
const LOOK_THROUGH_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Keeps up with the root keys.
pub(super) async fn keep_up(shared: Shared, end: CancellationToken) {
    let mut ticks = every(ROOT_KEYS_INTERVAL, &end);
    let mut failing = false;
    while ticks.next().await.is_some() {
        let Some(kept) = end.run_until_cancelled(shared.store.keys().keep_up()).await else { return };
        if let Err(error) = &kept
            && !failing
        {
            tracing::error!(error = chain(error), "the root keys of the database are not all known here");
        }
        failing = kept.is_err();
    }
}

/// Renews what key managers have unwrapped before its time is over. A job of its own: it may take long.
pub(super) async fn renew(shared: Shared, end: CancellationToken) {
    let mut ticks = every(ROOT_KEYS_INTERVAL, &end);
    while ticks.next().await.is_some() {
        end.run_until_cancelled(shared.store.keys().renew()).await;
    }
}

/// Works on rotations. At the end it is dropped: what it has committed is done, and another replica goes on.
pub(super) async fn rotate(shared: Shared, urgency: Urgency, end: CancellationToken) {
    let mut ticks = every(ROTATION_INTERVAL, &end);
    while ticks.next().await.is_some() {
        if let Some(Err(error)) = end.run_until_cancelled(shared.store.keys().work(urgency)).await {
            tracing::warn!(
                error = chain(&error),
                "rotations of keys could not be looked for; it is tried again"
            );
        }
    }
}

/// Moves secrets to the stores that they belong to, and removes there what is needed no more. At the end it is dropped, like
/// rotations.
pub(super) async fn tend_secrets(shared: Shared, end: CancellationToken) {
    if let Some(Ok(true)) = end.run_until_cancelled(shared.store.secrets().are_held()).await {
        tracing::warn!(
            "the database was restored from a backup: nothing is removed from secret stores until `credvault secrets own` \
             says that no other vault uses them"
        );
    }
    let mut ticks = every(ROTATION_INTERVAL, &end);
    while ticks.next().await.is_some() {
        if let Some(Err(error)) = end.run_until_cancelled(shared.store.secrets().work()).await {
            tracing::warn!(
                error = chain(&error),
                "secrets in external stores could not be looked at; it is tried again"
            );
        }
    }
}

/// Queues what is in external stores and what nothing has queued. At the end it is dropped.
pub(super) async fn look_through_secrets(shared: Shared, end: CancellationToken) {
    let mut ticks = every(LOOK_THROUGH_INTERVAL, &end);
    while ticks.next().await.is_some() {
        match end.run_until_cancelled(shared.store.secrets().look_through()).await {
            None | Some(Ok(0)) => {}
            Some(Ok(connections)) => {
                tracing::info!(connections, "secrets were left in external stores; they are looked at")
            }
            Some(Err(error)) => tracing::warn!(
                error = chain(&error),
                "external stores could not be looked through; it is tried again in a day"
            ),
        }
    }
}

/// Begins to rotate keys that are old or worn, and destroys those whose time is over. The counts of uses are written at the
/// end, too.
pub(super) async fn look_at_ages(shared: Shared, settings: Keys, end: CancellationToken) {
    let mut ticks = every(AGES_INTERVAL, &end);
    loop {
        let ends = ticks.next().await.is_none();
        if let Err(error) = look_once(&shared, settings, ends).await {
            tracing::warn!(
                error = chain(&error),
                "the ages of keys could not be looked at; it is tried again"
            );
        }
        if ends {
            return;
        }
    }
}

async fn look_once(shared: &Shared, settings: Keys, ends: bool) -> Result<(), credvault_store::Error> {
    let keys = shared.store.keys();
    let worn = keys.write_uses(settings.most_uses).await;
    if ends || !shared.clock.is_trusted() {
        return Ok(());
    }
    for key in worn {
        tracing::info!(
            tenant = key.tenant.as_str(),
            uses = key.uses,
            "a tenant's key has sealed enough; it is rotated"
        );
        keys.rotate_by_itself(&key.tenant, settings.rotation).await;
    }
    if let Some(age) = settings.rotate_after {
        keys.rotate_aged(age, settings.rotation).await?;
    }
    let destroyed = keys.destroy_retired().await?;
    if destroyed > 0 {
        tracing::info!(destroyed, "keys that rotations have replaced were destroyed");
    }
    Ok(())
}
