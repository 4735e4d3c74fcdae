//! Telling providers that a connection is over (RFC 7009, or the provider's own way).

use std::time::Duration;

use credvault_catalog::Given;
use credvault_domain::{Connection, Revocation};
use credvault_store::{Place, ToRevoke};
use tokio_util::sync::CancellationToken;

use crate::Broker;
use crate::refresher::{app_values, moment};

/// How often what is due is looked for.
const TICK: Duration = Duration::from_secs(10);
/// How many are looked for at once.
const DUE: u64 = 64;

impl Broker {
    /// Makes one attempt to have the provider revoke what a disconnected connection had, and notes how it ended. `None` if
    /// there is nothing to revoke any more.
    ///
    /// # Errors
    /// The vault's own database fails; another attempt follows.
    pub async fn revoke(&self, place: &Place) -> Result<Option<Connection>, credvault_store::Error> {
        let revocations = self.store().revocations();
        let Some(to_revoke) = revocations.open(place).await? else { return Ok(None) };
        let outcome = self.tell(&to_revoke).await;
        metrics::counter!("credvault_revocations_total", "outcome" => outcome.as_str()).increment(1);
        revocations.attempted(place, outcome).await
    }

    async fn tell(&self, to_revoke: &ToRevoke) -> Revocation {
        let ToRevoke { place, connection, fields } = to_revoke;
        let provider = self.catalog().get(&connection.provider);
        let Some(mode) = provider.and_then(|provider| provider.mode(&connection.auth_mode)) else {
            return Revocation::Unsupported;
        };
        let Ok(usable) = self.store().apps().usable_at(place, &connection.provider).await else {
            return Revocation::Pending;
        };
        let app = usable.as_ref().map(app_values);
        let flow = moment(self.clock().now(), self.random());
        let given = Given { config: &connection.config, secrets: fields, app: app.as_ref(), flow: &flow };
        let request = match mode.revoke(given) {
            Some(Ok(request)) => request,
            Some(Err(_)) | None => return Revocation::Unsupported,
        };
        match self.http().send(request).await {
            Ok(answer) if mode.revoked(answer.status, &answer.body) => Revocation::Done,
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
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while end.run_until_cancelled(ticks.tick()).await.is_some() {
            let due = self.store().revocations().due(DUE).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "due revocations could not be looked for");
                Vec::new()
            });
            for place in due {
                if let Some(Err(error)) = end.run_until_cancelled(self.revoke(&place)).await {
                    tracing::warn!(connection = %place.connection(), %error, "a revocation met the vault's own database");
                }
            }
        }
    }
}
