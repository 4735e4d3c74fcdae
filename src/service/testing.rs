//! Whether stored credentials work: asked of the provider when a caller wants to know, and once in a while by the vault
//! itself, so that a key that was withdrawn shows before somebody needs it.

use std::sync::Arc;
use std::time::Duration;

use credvault_broker::{Need, RefreshError, VerifyError};
use credvault_catalog::{ModeKind, Verdict};
use credvault_domain::{Action, AuditEvent, Connection, ConnectionId, TenantScope};
use credvault_store::{DueVerification, Recorded, Selector, Tested, Write};
use futures::StreamExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::vault::{Fresh, fresh};
use crate::call::record_refusal;
use crate::trace;
use crate::vault::Vault;
use crate::wire::Refusal;

/// How often it is looked which tests are due.
const TICK: Duration = Duration::from_secs(2);
/// How soon, if there are more than are begun in one go.
const SOON: Duration = Duration::from_millis(200);
/// How many are begun in one go, and how many run at once.
const DUE: (u64, usize) = (64, 8);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// When one that had no answer is made again, about.
const AGAIN: Duration = Duration::from_secs(3600);

/// What a provider said to a stored credential.
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) connection: Connection,
    known: Option<String>,
}

impl Outcome {
    /// The account's id at the provider.
    pub(super) fn account(&self) -> Option<&str> {
        let Verdict::Works { account, .. } = &self.verdict else { return None };
        account.as_deref()
    }

    /// What people call the account.
    pub(super) fn name(&self) -> Option<&str> {
        let Verdict::Works { name, .. } = &self.verdict else { return None };
        name.as_deref()
    }

    /// Whether it is another account than the one that was known.
    pub(super) fn account_changed(&self) -> bool {
        self.known.as_deref().zip(self.account()).is_some_and(|(known, found)| known != found)
    }
}

/// Asks the provider whether a connection's credential works, and remembers the answer.
pub(super) async fn test(
    vault: &Vault,
    scope: &TenantScope,
    id: ConnectionId,
    until: Instant,
    event: AuditEvent,
) -> Result<Recorded<Outcome>, Refusal> {
    let credentials = vault.store.credentials();
    let selector = Selector::Connection { id, version: None };
    let fetched = credentials.fetch(scope, &selector).await?;
    let mode = vault.mode(&fetched.connection.provider, &fetched.connection.auth_mode)?;
    if !mode.is_verifiable() {
        return Err(VerifyError::NoVerification.into());
    }
    let mut found = fresh(vault, until, scope, &selector, fetched, mode).await?;
    let ask = async |found: &Fresh| {
        let connection = &found.fetched.connection;
        vault.broker.verify(scope, &connection.provider, mode, &connection.config, &found.opened.fields).await
    };
    let mut verdict = ask(&found).await?;
    if verdict == Verdict::Dead && mode.renews() {
        // An access token may have been withdrawn alone, or renewed beside us: the refresh token decides.
        let place = found.fetched.place();
        let renewing = vault.broker.refresher().refresh(place, found.opened.generation, Need::Forced);
        let unavailable = RefreshError::Unavailable { retry: Duration::from_secs(1) };
        match tokio::time::timeout_at(until, renewing).await.unwrap_or(Err(unavailable)) {
            Ok(()) => {
                let fetched = credentials.fetch(scope, &selector).await?;
                found = fresh(vault, until, scope, &selector, fetched, mode).await?;
                verdict = ask(&found).await?;
            }
            // It says so of the refresh token, too; or there is none that could be asked.
            Err(RefreshError::Reauthorize) => {}
            Err(_)
                if mode.kind == ModeKind::Oauth2Code
                    && found.opened.fields.get("refresh_token").is_none() => {}
            // Nobody knows: an outage, or a fault of the app's, says nothing about the connection.
            Err(error) => return Err(error.into()),
        }
    }
    let Fresh { fetched, opened } = found;
    let tested = match &verdict {
        Verdict::Dead => Tested::Refused,
        Verdict::Works { account, .. } => Tested::Accepted { account: account.clone() },
        Verdict::Limited | Verdict::Unclear(_) => Tested::Accepted { account: None },
    };
    let write = Write { event, repeat: None };
    let seen = (opened.version, opened.generation);
    let noted = vault.store.connections().tested(scope, id, seen, &tested, &write).await?;
    let known = fetched.connection.external_account_id;
    Ok(noted.map(|connection| Outcome { verdict, connection, known }))
}

/// Tests credentials once in a while, until `end`.
pub(crate) async fn run(vault: Arc<Vault>, every: Duration, end: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while end.run_until_cancelled(ticks.tick()).await.is_some() {
        let due = vault.store.due_verifications(DUE.0).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "due tests could not be looked for");
            Vec::new()
        });
        if due.len() as u64 == DUE.0 {
            // There are more.
            ticks.reset_after(SOON);
        }
        let all = futures::stream::iter(due).for_each_concurrent(DUE.1, |due| {
            let vault = Arc::clone(&vault);
            async move { look_after(&vault, due, every).await }
        });
        end.run_until_cancelled(all).await;
    }
}

/// Says when the next test is, and makes this one if no other replica does.
async fn look_after(vault: &Vault, due: DueVerification, every: Duration) {
    if let Err(error) = try_look_after(vault, due, every).await {
        tracing::warn!(%error, "a test met the vault's own database");
    }
}

async fn try_look_after(
    vault: &Vault,
    due: DueVerification,
    every: Duration,
) -> Result<(), credvault_store::Error> {
    let now = vault.clock.now();
    // What was never tested is spread over the whole time, so that what came together is not tested together.
    let spread = if due.time.is_some() { (0.8, 0.4) } else { (0.0, 1.0) };
    let next = now.after(every.mul_f64(spread.0 + spread.1 * vault.fraction()));
    if !vault.store.schedule_verification(&due, next).await? || due.time.is_none() {
        return Ok(());
    }
    let (tenant, id) = (due.place.tenant().clone(), due.place.connection());
    let scope = vault.identity.on_behalf(tenant.clone(), None);
    let mut event = AuditEvent::of(tenant, Action::TestConnection);
    event.connection = Some(id);
    event.trace = trace::new_id();
    let outcome = match test(vault, &scope, id, Instant::now() + PATIENCE, event.clone()).await {
        Ok(tested) => match tested.into_inner() {
            tested if tested.account_changed() => "other_account",
            Outcome { verdict: Verdict::Dead, .. } => "refused",
            _ => "works",
        },
        // The catalog has no test for it: nothing to be told of.
        Err(Refusal::Verify(VerifyError::NoVerification)) => "untested",
        Err(refusal) => {
            (event.outcome, event.reason) = (refusal.outcome(), Some(refusal.kind().1));
            record_refusal(vault, event, &refusal).await;
            if matches!(refusal.kind().0, tonic::Code::Unavailable | tonic::Code::ResourceExhausted) {
                let sooner = AGAIN.mul_f64(0.5 + vault.fraction()).min(every);
                let again = DueVerification { time: Some(next), ..due };
                vault.store.schedule_verification(&again, now.after(sooner)).await?;
            }
            "unknown"
        }
    };
    metrics::counter!("credvault_verifications_total", "outcome" => outcome).increment(1);
    Ok(())
}
