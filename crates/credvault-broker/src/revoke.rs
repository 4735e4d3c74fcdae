//! Telling providers that a connection is over (RFC 7009, or the provider's own way).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_catalog::Given;
use credvault_domain::{Action, AuditEvent, Connection, Revocation};
use credvault_store::{Full, Place, ToRevoke, Turns};
use tokio_util::sync::CancellationToken;

use crate::Broker;
use crate::refresher::{app_values, moment};

/// How often what is due is looked for.
const TICK: Duration = Duration::from_secs(2);
/// How many are looked for at once, and how often one look searches: each time without the tenants that have their share.
const DUE: u64 = 64;
const SEARCHES: usize = 4;
/// How many attempts are made at once.
const AT_ONCE: usize = 8;

impl Broker {
    /// Makes one attempt to have the provider revoke what a disconnected connection had, and notes how it ended. `None` if
    /// there is nothing to revoke any more.
    ///
    /// # Errors
    /// The vault's own database fails; another attempt follows.
    pub async fn revoke(&self, place: &Place) -> Result<Option<Connection>, credvault_store::Error> {
        let revocations = self.store().revocations();
        let outcome = match revocations.open(place).await {
            Ok(None) => return Ok(None),
            Ok(Some(to_revoke)) => self.tell(&to_revoke).await,
            // What does not open cannot be told to the provider, now or later.
            Err(credvault_store::Error::Integrity) => {
                self.broken(place).await?;
                Revocation::Failed
            }
            Err(error) => return Err(error),
        };
        metrics::counter!("credvault_revocations_total", "outcome" => outcome.as_str()).increment(1);
        revocations.attempted(place, outcome).await
    }

    async fn broken(&self, place: &Place) -> Result<(), credvault_store::Error> {
        let event = AuditEvent::of(place.tenant().clone(), Action::DisconnectConnection);
        self.store().broken(place, &event).await
    }

    async fn tell(&self, to_revoke: &ToRevoke) -> Revocation {
        let ToRevoke { place, connection, fields } = to_revoke;
        let provider = self.catalog().get(&connection.provider);
        let Some(mode) = provider.and_then(|provider| provider.mode(&connection.auth_mode)) else {
            return Revocation::Unsupported;
        };
        if mode.check_destinations(&connection.config).is_err() {
            return Revocation::Failed;
        }
        let usable = match self.store().apps().usable_at(place, &connection.provider).await {
            Ok(usable) => usable,
            Err(error) => {
                if matches!(error, credvault_store::Error::Integrity)
                    && let Err(error) = self.broken(place).await
                {
                    tracing::warn!(%error, "a stored value does not open, which could not be recorded");
                }
                return Revocation::Pending;
            }
        };
        let app = usable.as_ref().map(app_values);
        let flow = moment(self.clock().now(), self.random());
        let given = Given { config: &connection.config, secrets: fields, app: app.as_ref(), flow: &flow };
        let Some(revocation) = &mode.revocation else { return Revocation::Unsupported };
        let Ok(request) = mode.request(&revocation.call, given) else { return Revocation::Unsupported };
        match self.http().send(request).await {
            Ok(answer) if revocation.succeeded(answer.status, &answer.body) => Revocation::Done,
            Ok(answer) => {
                tracing::info!(connection = %connection.id, status = answer.status, "a revocation was refused");
                Revocation::Pending
            }
            Err(error) => {
                tracing::info!(connection = %connection.id, %error, "a revocation did not succeed");
                Revocation::Pending
            }
        }
    }

    /// Makes the attempts that are due, until `end`.
    pub async fn run_revocations(&self, end: CancellationToken) {
        let turns = Turns::new(AT_ONCE);
        let under_way = Arc::new(Mutex::new(HashSet::new()));
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while end.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.begin_revocations(&turns, &under_way, &end).await {
                tracing::warn!(%error, "due revocations could not be looked for");
            }
        }
    }

    /// Begins as many of the attempts that are due as there are turns. A tenant that has its share of them must not hide
    /// what is due of others.
    async fn begin_revocations(
        &self,
        turns: &Turns,
        under_way: &Arc<Mutex<HashSet<Place>>>,
        end: &CancellationToken,
    ) -> Result<(), credvault_store::Error> {
        let mut without = Vec::new();
        for _ in 0..SEARCHES {
            let (due, known) = (self.store().revocations().due(DUE, &without).await?, without.len());
            let all = (due.len() as u64) < DUE;
            for place in due {
                let tenant = place.tenant().clone();
                if without.contains(&tenant) {
                    continue;
                }
                let turn = match turns.try_take(&tenant) {
                    Ok(turn) => turn,
                    Err(Full::Tenant) => {
                        without.push(tenant);
                        continue;
                    }
                    Err(Full::All) => return Ok(()),
                };
                if !under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone()) {
                    continue;
                }
                let (broker, end, under_way) = (self.clone(), end.clone(), Arc::clone(under_way));
                tokio::spawn(async move {
                    if let Some(Err(error)) = end.run_until_cancelled(broker.revoke(&place)).await {
                        tracing::warn!(connection = %place.connection(), %error, "a revocation met the vault's own database");
                    }
                    under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&place);
                    drop(turn);
                });
            }
            if all || without.len() == known {
                return Ok(());
            }
        }
        Ok(())
    }
}
