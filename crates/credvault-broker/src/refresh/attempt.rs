//! One attempt, under a claim: what it sends is in `send.rs`. Here its outcome is counted, recorded and stored.

use credvault_domain::{Action, AuditEvent, AuditOutcome};
use credvault_store::{Claimed, ProviderOutcome};
use tokio::time::Instant;

use super::error::RefreshError;
use super::failed::Failed;
use super::worker::Worker;

impl Worker {
    /// Makes the attempt of a claim that was made at `started`.
    pub(super) async fn attempt(&self, claimed: Claimed, started: Instant) -> Result<(), RefreshError> {
        let event = AuditEvent::of(claimed.key.tenant().clone(), Action::RefreshConnection);
        match self.send(&claimed, started).await {
            Ok(refreshed) => {
                self.count(&claimed, "refreshed", ProviderOutcome::RefreshSucceeded);
                self.store_tokens(&claimed, &refreshed, &event).await
            }
            Err(failed) => {
                let ended = failed.outcome() == "dead";
                let outcome =
                    if ended { ProviderOutcome::RefreshEnded } else { ProviderOutcome::RefreshFailed };
                self.count(&claimed, failed.outcome(), outcome);
                tracing::info!(
                    connection = %claimed.key.connection(),
                    provider = claimed.connection.provider.as_str(),
                    outcome = failed.outcome(),
                    detail = failed.detail,
                    "a refresh failed"
                );
                self.store_failure(&claimed, failed, event).await
            }
        }
    }

    fn count(&self, claimed: &Claimed, name: &'static str, outcome: ProviderOutcome) {
        let provider = &claimed.connection.provider;
        metrics::counter!("credvault_refreshes_total", "outcome" => name).increment(1);
        self.parts.store.count_outcome(claimed.key.tenant(), provider, outcome);
    }

    async fn store_failure(
        &self,
        claimed: &Claimed,
        failed: Failed,
        mut event: AuditEvent,
    ) -> Result<(), RefreshError> {
        event.outcome = AuditOutcome::Failed;
        event.reason = Some(failed.reason());
        match self.end_claim(claimed, &failed.failure, &event).await {
            Ok(true) => Err(failed.error),
            // A newer credential was stored meanwhile, so there are newer tokens.
            Ok(false) => Ok(()),
            Err(error) => Err(RefreshError::of_store(&error)),
        }
    }
}
