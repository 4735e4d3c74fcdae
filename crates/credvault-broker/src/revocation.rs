//! Asks providers to revoke what a disconnected connection had (RFC 7009, or the provider's own way).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_catalog::{Given, Mint, Mode};
use credvault_domain::{Action, AuditEvent, Connection, Revocation, SecretFields};
use credvault_store::{ConnectionKey, Error, Full, KeySharing, ToRevoke, Turn, Turns, UsableApp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::assertion::with_proof;
use crate::broker::Broker;
use crate::every::every;
use crate::flow::{app_values, flow_defaults};
use crate::rotation::end::PATIENCE;

/// How often due revocations are searched for.
const SEARCH_INTERVAL: Duration = Duration::from_secs(2);
/// How many due revocations one search finds.
const MAX_FOUND: u64 = 64;
/// How often one round searches, each time without the tenants that have their share of turns.
const MAX_SEARCHES: usize = 4;
/// How many attempts are made at once.
const MAX_ATTEMPTS_AT_ONCE: usize = 8;

impl Broker {
    /// Makes one attempt to have the provider revoke what a disconnected connection had, and stores the outcome. `None` if
    /// there is nothing left to revoke. A connection whose purge has waited for the outcome is purged.
    ///
    /// # Errors
    /// The vault's own database fails; another attempt follows.
    pub async fn revoke(&self, key: &ConnectionKey) -> Result<Option<Connection>, Error> {
        let revocations = self.store().revocations();
        let Some(ToRevoke { connection, fields, is_lost, generation, .. }) = revocations.open(key).await?
        else {
            return revocations.attempted(key, None, Revocation::Pending).await;
        };
        let outcome = match &fields {
            Some(fields) => self.request_revocation(key, &connection, fields).await,
            None if !is_lost => Revocation::Pending,
            // A credential that does not open cannot be named to the provider, now or later.
            None => {
                self.record_broken(key).await?;
                Revocation::Failed
            }
        };
        metrics::counter!("credvault_revocations_total", "outcome" => outcome.as_str()).increment(1);
        let attempted = revocations.attempted(key, Some(generation), outcome).await?;
        if attempted.as_ref().is_some_and(|after| after.purge_time.is_some())
            && let Err(error) = self.store().purge_settled(key).await
        {
            tracing::warn!(connection = %key.connection(), %error, "a purge is left to upkeep");
        }
        Ok(attempted)
    }

    /// Makes the attempts that are due, until `end`.
    pub async fn run_revocations(&self, end: CancellationToken) {
        let attempts = Attempts { turns: Turns::new(MAX_ATTEMPTS_AT_ONCE), in_progress: Arc::default() };
        let mut ticks = every(SEARCH_INTERVAL, &end);
        while ticks.next().await.is_some() {
            if let Err(error) = attempts.start_due(self, &end).await {
                tracing::warn!(%error, "the search for due revocations failed");
            }
        }
    }

    async fn record_broken(&self, key: &ConnectionKey) -> Result<(), Error> {
        let event = AuditEvent::of(key.tenant().clone(), Action::DisconnectConnection);
        self.store().broken(key, &event).await
    }

    async fn request_revocation(
        &self,
        key: &ConnectionKey,
        connection: &Connection,
        fields: &SecretFields,
    ) -> Revocation {
        let provider = self.catalog().get(&connection.provider);
        let Some(mode) = provider.and_then(|provider| provider.mode(&connection.auth_mode)) else {
            return Revocation::Unsupported;
        };
        if mode.check_destinations(&connection.config).is_err() {
            return Revocation::Failed;
        }
        let Ok(usable) = self.app_to_revoke_with(key, connection).await else {
            return Revocation::Pending;
        };
        let app = usable.as_ref().map(app_values);
        let flow = flow_defaults(self.clock().now(), self.random());
        let flow = match mode.mint().and_then(|mint| mode.key_id(mint, &connection.config, fields)) {
            Some(id) => flow.with("old_key_id", id),
            None => flow,
        };
        let given = Given { config: &connection.config, secrets: fields, app: app.as_ref(), flow: &flow };
        self.send_revocation(key, connection, mode, given).await
    }

    /// The app of the connection. A value that does not open is recorded.
    async fn app_to_revoke_with(
        &self,
        key: &ConnectionKey,
        connection: &Connection,
    ) -> Result<Option<UsableApp>, Error> {
        let place = self.app_place(&connection.provider, &connection.config);
        let usable = self.store().apps().usable_at(key, &place).await;
        if let Err(Error::Integrity) = usable
            && let Err(error) = self.record_broken(key).await
        {
            tracing::warn!(%error, "a stored value does not open, which could not be recorded");
        }
        usable
    }

    async fn send_revocation(
        &self,
        key: &ConnectionKey,
        connection: &Connection,
        mode: &Mode,
        given: Given<'_>,
    ) -> Revocation {
        let Some(revocation) = mode.ending_call() else { return Revocation::Unsupported };
        let Ok(flow) = with_proof(mode, given, self.clock().now()) else { return Revocation::Pending };
        let given = Given { flow: &flow, ..given };
        let Ok(request) = mode.request(&revocation.call, given) else { return Revocation::Unsupported };
        if let Some(mint) = mode.ended_key()
            && let Err(outcome) = self.may_end(key, connection, given.secrets, mint).await
        {
            return outcome;
        }
        match self.http().send(request).await {
            Ok(answer) if revocation.has_revoked(answer.status, &answer.body) => Revocation::Done,
            Ok(answer) => {
                let is_gone = revocation.succeeded(answer.status, &answer.body);
                let is_over = match mode.ended_key() {
                    None => is_gone,
                    // That no key of this id is found does not say that this key is dead: a caller may have stored another id.
                    Some(_) => {
                        (is_gone || matches!(answer.status, 401 | 403 | 404))
                            && self.is_dead(mode, given).await
                    }
                };
                if is_over {
                    return Revocation::Done;
                }
                tracing::info!(connection = %connection.id, status = answer.status, "a revocation was refused");
                Revocation::Pending
            }
            Err(error) => {
                tracing::info!(connection = %connection.id, %error, "a revocation failed");
                Revocation::Pending
            }
        }
    }

    /// Waits for a turn among the calls at the provider to end the key that a connection had.
    ///
    /// # Errors
    /// What the attempt comes to without a call: another connection of the same owner serves this key, that is not known, or
    /// there is no turn.
    async fn may_end(
        &self,
        key: &ConnectionKey,
        connection: &Connection,
        fields: &SecretFields,
        mint: &Mint,
    ) -> Result<(), Revocation> {
        match self.store().credential_rotations().sharing(key, fields, &mint.field_names()).await {
            Ok(KeySharing::Alone) => {}
            Ok(KeySharing::Shared) => return Err(Revocation::Kept),
            Ok(KeySharing::Unknown) => return Err(Revocation::Pending),
            Err(error) => {
                tracing::warn!(connection = %connection.id, %error, "it is not known whether a key is still served");
                return Err(Revocation::Pending);
            }
        }
        let deadline = Instant::now() + PATIENCE;
        match self.refresher().take_call(&connection.provider, key.tenant(), deadline).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Revocation::Pending),
        }
    }
}

/// The attempts that this process makes.
struct Attempts {
    turns: Turns,
    in_progress: Arc<Mutex<HashSet<ConnectionKey>>>,
}

impl Attempts {
    /// Starts as many due attempts as there are turns. A tenant that has its share of turns must not keep the attempts of
    /// other tenants from being found.
    async fn start_due(&self, broker: &Broker, end: &CancellationToken) -> Result<(), Error> {
        let mut without = Vec::new();
        for _ in 0..MAX_SEARCHES {
            let due = broker.store().revocations().due(MAX_FOUND, &without).await?;
            let (all, known) = ((due.len() as u64) < MAX_FOUND, without.len());
            for key in due {
                if without.contains(key.tenant()) {
                    continue;
                }
                match self.turns.try_take(key.tenant()) {
                    Ok(turn) => self.start(broker, key, turn, end),
                    Err(Full::Tenant) => without.push(key.tenant().clone()),
                    Err(Full::All) => return Ok(()),
                }
            }
            if all || without.len() == known {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Starts an attempt, unless it is in progress. It holds its turn until it ends.
    fn start(&self, broker: &Broker, key: ConnectionKey, turn: Turn, end: &CancellationToken) {
        if !self.in_progress.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            return;
        }
        let (broker, end, in_progress) = (broker.clone(), end.clone(), Arc::clone(&self.in_progress));
        tokio::spawn(async move {
            if let Some(Err(error)) = end.run_until_cancelled(broker.revoke(&key)).await {
                tracing::warn!(connection = %key.connection(), %error, "the vault's own database failed during a revocation");
            }
            in_progress.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            drop(turn);
        });
    }
}
