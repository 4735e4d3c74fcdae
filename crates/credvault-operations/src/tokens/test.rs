//! `TestConnection`: whether a stored credential works, asked of the provider.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use credvault_broker::{Need, RefreshError, TestError};
use credvault_catalog::{Mode, ModeKind, Verdict};
use credvault_domain::{
    Action, Connection, ConnectionId, LimitKind, Permit, Reason, TenantScope, UserId, Version,
};
use credvault_identity::Facts;
use credvault_store::{
    ConnectionKey, Error as StoreError, Fetched, GivenOut, Pause, ProviderOutcome, Recorded, Selector,
    Tested as StoredResult,
};

use crate::call::{Subject, record_refusal};
use crate::credentials::{Fresh, fresh};
use crate::{Call, Context, Refusal};

/// How long a test that the vault makes by itself may take.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What a provider said about a stored credential.
#[derive(Debug)]
pub struct Tested {
    /// The provider's verdict on the credential.
    pub verdict: Verdict,
    /// The connection as it is after that.
    pub connection: Connection,
    known_account: Option<String>,
    /// The credential that the verdict is about.
    pub(crate) given_out: GivenOut,
}

impl Tested {
    /// The account's id at the provider.
    pub fn account(&self) -> Option<&str> {
        let Verdict::Works { account, .. } = &self.verdict else { return None };
        account.as_deref()
    }

    /// The account's name at the provider.
    pub fn name(&self) -> Option<&str> {
        let Verdict::Works { name, .. } = &self.verdict else { return None };
        name.as_deref()
    }

    /// Whether it is another account than the one that was known.
    pub fn account_changed(&self) -> bool {
        self.known_account.as_deref().zip(self.account()).is_some_and(|(known, found)| known != found)
    }
}

/// `TestConnection`: asks the provider whether a connection's credential works, and stores the answer.
///
/// # Errors
/// Policy does not permit it, the provider cannot be asked, or it does not say.
pub async fn test(call: &mut Call, id: ConnectionId) -> Result<Recorded<Tested>, Refusal> {
    let (permit, _) = call.connection(id).await?;
    test_permitted(call, id, &permit).await
}

/// The same as the vault's own work, on record whether the provider says something or not.
///
/// # Errors
/// As for [`test()`]; a provider's file without a test leaves no record.
pub(crate) async fn test_by_vault(
    context: &Arc<Context>,
    key: &ConnectionKey,
    owner_user: Option<UserId>,
) -> Result<Tested, Refusal> {
    let (tenant, id) = (key.tenant().clone(), key.connection());
    let mut call = Call::of_vault(context, Action::TestConnection, tenant, TEST_TIMEOUT);
    call.about(Subject { owner_user, ..Subject::connection(id) });
    let tested = async {
        let permit = call.permit(&*call.scope()?, Facts::default())?;
        test_permitted(&mut call, id, &permit).await
    };
    match tested.await {
        Ok(tested) => Ok(tested.into_inner()),
        Err(refusal @ Refusal::Test(TestError::Untestable)) => Err(refusal),
        Err(refusal) if refusal.reason() == Reason::IntegrityFailure => {
            let (action, reason) = (call.action.as_str(), Reason::IntegrityFailure.as_str());
            metrics::counter!("credvault_refusals_total", "action" => action, "reason" => reason)
                .increment(1);
            // With its record.
            context.store.broken(key, &call.event()).await?;
            Err(refusal)
        }
        Err(refusal) => {
            record_refusal(context, call.refused_event(&refusal), &refusal).await;
            Err(refusal)
        }
    }
}

/// The same where the permission is there already.
async fn test_permitted(
    call: &mut Call,
    id: ConnectionId,
    permit: &Permit,
) -> Result<Recorded<Tested>, Refusal> {
    let (scope, context) = (call.scope()?, call.context.clone());
    let selector = Selector::Connection { id, version: None };
    let fetched = context.store.credentials().fetch(&scope, &selector).await?;
    let mode = context.mode(&fetched.connection.provider, &fetched.connection.auth_mode)?;
    if mode.test.is_none() {
        return Err(TestError::Untestable.into());
    }
    mode.check_destinations(&fetched.connection.config).map_err(Refusal::Settings)?;
    call.count_everywhere(&scope, LimitKind::TestsPerMinute).await?;
    let tried = current(call, &scope, fetched, mode).await?;
    let (tenant, provider) = (tried.fetched.tenant.clone(), tried.fetched.connection.provider.clone());
    let (key, (version, _)) = (tried.fetched.key(), tried.opened.given_out());
    let decided = decided(call, &scope, tried, mode).await;
    if let Err(Refusal::Test(error)) = &decided {
        remember_outage(&context, &key, version, error).await;
    }
    context.store.count_outcome(
        &tenant,
        &provider,
        outcome(decided.as_ref().ok().map(|(verdict, _)| verdict)),
    );
    let (verdict, Fresh { fetched, opened }) = decided?;
    let result = result(&verdict, mode, &fetched);
    let write = call.write(permit, Ok(None))?;
    let given_out = opened.given_out();
    let tested = context.store.connections().tested(&scope, id, given_out, &result, &write).await?;
    let known_account = fetched.connection.external_account_id;
    Ok(tested.map(|connection| Tested { verdict, connection, known_account, given_out }))
}

/// A credential to test, fresh if it refreshes.
async fn current(call: &Call, scope: &TenantScope, fetched: Fetched, mode: &Mode) -> Result<Fresh, Refusal> {
    let fresh = fresh(&call.context, call.patience(), scope, fetched, mode).await?;
    // If the connection has gone meanwhile, there is nothing to test.
    fresh.ok_or(Refusal::Store(StoreError::ConnectionNotFound))
}

/// The provider's verdict, and the credential that it is about. A dead access token may have been withdrawn alone, or
/// refreshed beside us: then the refresh token decides.
async fn decided(
    call: &Call,
    scope: &TenantScope,
    fresh: Fresh,
    mode: &Mode,
) -> Result<(Verdict, Fresh), Refusal> {
    let verdict = ask(call, scope, &fresh, mode).await?;
    if verdict != Verdict::Refused || !mode.refreshes() {
        return Ok((verdict, fresh));
    }
    call.count_forced(scope).await?;
    let (key, seen) = (fresh.fetched.key(), fresh.opened.generation);
    match call.context.broker.refreshed_by(call.patience(), key, seen, Need::Forced).await {
        Ok(()) => {
            let fetched = call.context.store.credentials().again(scope, &fresh.fetched).await?;
            let fresh = current(call, scope, fetched, mode).await?;
            Ok((ask(call, scope, &fresh, mode).await?, fresh))
        }
        // The provider says the same of the refresh token.
        Err(RefreshError::Reauthorize) => Ok((verdict, fresh)),
        // There is none that could be asked.
        Err(_) if mode.kind == ModeKind::Oauth2Code && fresh.opened.fields.get("refresh_token").is_none() => {
            Ok((verdict, fresh))
        }
        // Unknown: an outage, or a fault of the app's, says nothing about the connection.
        Err(error) => Err(error.into()),
    }
}

async fn ask(call: &Call, scope: &TenantScope, fresh: &Fresh, mode: &Mode) -> Result<Verdict, Refusal> {
    let connection = &fresh.fetched.connection;
    let (provider, config) = (&connection.provider, &connection.config);
    Ok(call.context.broker.test(scope, provider, mode, config, &fresh.opened.fields).await?)
}

/// Remembers that a test has met an outage. The answer to the caller does not depend on it.
async fn remember_outage(context: &Context, key: &ConnectionKey, version: Version, error: &TestError) {
    let (reason, pause) = match error {
        TestError::Unavailable => (Reason::ProviderUnavailable, Pause::Unavailable),
        TestError::Throttled { .. } => (Reason::ProviderRateLimited, Pause::Throttled),
        TestError::Untestable | TestError::Invalid(_) | TestError::Store(_) => return,
    };
    if let Err(error) = context.store.connections().untested(key, version, reason, pause).await {
        tracing::warn!(%error, "the outage that a test has met could not be remembered");
    }
}

/// What is counted of a verdict; without one, the provider has not been heard.
fn outcome(verdict: Option<&Verdict>) -> ProviderOutcome {
    match verdict {
        Some(Verdict::Refused) => ProviderOutcome::TestRefused,
        Some(Verdict::Works { .. }) => ProviderOutcome::TestWorks,
        Some(Verdict::Limited | Verdict::Unclear(_)) | None => ProviderOutcome::TestUnknown,
    }
}

/// What the store keeps of a verdict.
fn result(verdict: &Verdict, mode: &Mode, fetched: &Fetched) -> StoredResult {
    match verdict {
        Verdict::Refused => StoredResult::Refused,
        Verdict::Works { account, .. } => StoredResult::Accepted {
            account: account.clone(),
            settings: mode.settings_in_test(&fetched.connection.config),
        },
        Verdict::Limited | Verdict::Unclear(_) => {
            StoredResult::Accepted { account: None, settings: BTreeMap::new() }
        }
    }
}
