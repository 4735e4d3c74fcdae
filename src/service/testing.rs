//! Whether stored credentials work: asked of the provider when a caller wants to know, and once in a while by the vault
//! itself, so that a key that was withdrawn shows before somebody needs it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use credvault_broker::{Need, RefreshError, TestError};
use credvault_catalog::{ModeKind, Verdict};
use credvault_domain::{
    Action, AuditEvent, Connection, ConnectionId, Reason, ServiceId, TenantScope, jitter,
};
use credvault_store::{DueVerification, Full, Recorded, Selector, Tested, Turns, Write};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::vault::{Fresh, fresh};
use crate::call::record_refusal;
use crate::trace;
use crate::vault::Vault;
use credvault_operations::{Class, Refusal};

/// How often it is looked which tests are due.
const TICK: Duration = Duration::from_secs(2);
/// How soon, if there are more than there are turns for.
const SOON: Duration = Duration::from_millis(200);
/// How many are looked for at once, and how often one look searches: each time without the tenants that have their share.
const DUE: u64 = 64;
const SEARCHES: usize = 4;
/// How many run at once.
const AT_ONCE: usize = 8;
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

/// Asks the provider whether a connection's credential works, and remembers the answer. `forced` counts a refresh that the
/// test insists on, or refuses it.
pub(super) async fn test(
    vault: &Vault,
    scope: &TenantScope,
    id: ConnectionId,
    until: Instant,
    event: AuditEvent,
    forced: impl Fn() -> Result<(), Refusal>,
) -> Result<Recorded<Outcome>, Refusal> {
    let credentials = vault.store.credentials();
    let selector = Selector::Connection { id, version: None };
    let fetched = credentials.fetch(scope, &selector).await?;
    let mode = vault.mode(&fetched.connection.provider, &fetched.connection.auth_mode)?;
    if mode.verification.is_none() {
        return Err(TestError::Untestable.into());
    }
    mode.check_destinations(&fetched.connection.config).map_err(Refusal::Settings)?;
    // Gone meanwhile: there is nothing to be tested.
    let gone = || Refusal::Store(credvault_store::Error::ConnectionNotFound);
    let mut found = fresh(vault, until, scope, fetched, mode).await?.ok_or_else(gone)?;
    let ask = async |found: &Fresh| {
        let connection = &found.fetched.connection;
        vault.broker.test(scope, &connection.provider, mode, &connection.config, &found.opened.fields).await
    };
    let mut verdict = ask(&found).await?;
    if verdict == Verdict::Dead && mode.renews() {
        // An access token may have been withdrawn alone, or renewed beside us: the refresh token decides.
        forced()?;
        let place = found.fetched.place();
        match vault.broker.refreshed_by(until, place, found.opened.generation, Need::Forced).await {
            Ok(()) => {
                let fetched = credentials.again(scope, &found.fetched).await?;
                found = fresh(vault, until, scope, fetched, mode).await?.ok_or_else(gone)?;
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
        Verdict::Works { account, .. } => Tested::Accepted {
            account: account.clone(),
            settings: mode.settings_in_verification(&fetched.connection.config),
        },
        Verdict::Limited | Verdict::Unclear(_) => {
            Tested::Accepted { account: None, settings: BTreeMap::new() }
        }
    };
    let write = Write { event, repeat: None };
    let seen = (opened.version, opened.generation);
    let noted = vault.store.connections().tested(scope, id, seen, &tested, &write).await?;
    let known = fetched.connection.external_account_id;
    Ok(noted.map(|connection| Outcome { verdict, connection, known }))
}

/// Tests credentials once in a while, until `stop`; then waits for what is under way.
pub(crate) async fn run(vault: Arc<Vault>, every: Duration, stop: CancellationToken) {
    let (turns, tests) = (Turns::new(AT_ONCE), TaskTracker::new());
    let mut pause = TICK;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let all = begin_due(&vault, every, &turns, &tests).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "due tests could not be looked for");
            true
        });
        pause = if all { TICK } else { SOON };
    }
    tests.close();
    tests.wait().await;
}

/// Begins as many of the tests that are due as there are turns. A tenant that has its share of them must not hide what is
/// due of others. Whether that was all.
async fn begin_due(
    vault: &Arc<Vault>,
    every: Duration,
    turns: &Turns,
    tests: &TaskTracker,
) -> Result<bool, credvault_store::Error> {
    let mut without = Vec::new();
    for _ in 0..SEARCHES {
        let (due, known) = (vault.store.due_verifications(DUE, &without).await?, without.len());
        let all = (due.len() as u64) < DUE;
        for due in due {
            let tenant = due.place.tenant();
            if without.contains(tenant) {
                continue;
            }
            match turns.try_take(tenant) {
                // Whoever is first says when the next one is, so nobody makes it twice.
                Ok(turn) => {
                    let vault = Arc::clone(vault);
                    tests.spawn(async move {
                        look_after(&vault, due, every).await;
                        drop(turn);
                    });
                }
                Err(Full::Tenant) => without.push(tenant.clone()),
                Err(Full::All) => return Ok(false),
            }
        }
        if all || without.len() == known {
            return Ok(without.is_empty());
        }
    }
    Ok(false)
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
    let spread = if due.time.is_some() { 0.8..=1.2 } else { 0.0..=1.0 };
    let next = now.after(every.mul_f64(jitter(&*vault.random, spread)));
    if !vault.store.schedule_verification(&due, next).await? || due.time.is_none() {
        return Ok(());
    }
    let (tenant, id) = (due.place.tenant().clone(), due.place.connection());
    let scope = vault.identity.own_work(tenant.clone());
    let mut event = AuditEvent::of(tenant, Action::TestConnection);
    event.service = Some(ServiceId::vault());
    event.connection = Some(id);
    event.owner_user.clone_from(&due.owner_user);
    event.trace = trace::new_id();
    // The limit is on what callers insist on; these tests have a rate of their own.
    let test = test(vault, &scope, id, Instant::now() + PATIENCE, event.clone(), || Ok(()));
    let outcome = match test.await {
        Ok(tested) => match tested.into_inner() {
            tested if tested.account_changed() => "other_account",
            Outcome { verdict: Verdict::Dead, .. } => "refused",
            _ => "works",
        },
        // The catalog has no test for it: nothing to be told of.
        Err(Refusal::Verify(TestError::Untestable)) => "untested",
        Err(refusal) if refusal.reason() == Reason::IntegrityFailure => {
            metrics::counter!("credvault_refusals_total", "action" => event.action.as_str(), "reason" => Reason::IntegrityFailure.as_str()).increment(1);
            // With its record. The next test is a day away.
            vault.store.broken(&due.place, &event).await?;
            "integrity"
        }
        Err(refusal) => {
            (event.outcome, event.reason) = (refusal.outcome(), Some(refusal.reason()));
            record_refusal(vault, event, &refusal).await;
            if matches!(refusal.class(), Class::Unavailable | Class::Exhausted) {
                let sooner = AGAIN.mul_f64(jitter(&*vault.random, 0.5..=1.5)).min(every);
                let again = DueVerification { time: Some(next), ..due };
                vault.store.schedule_verification(&again, now.after(sooner)).await?;
            }
            "unknown"
        }
    };
    metrics::counter!("credvault_connection_tests_total", "outcome" => outcome).increment(1);
    Ok(())
}
