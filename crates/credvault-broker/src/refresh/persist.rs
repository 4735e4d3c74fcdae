//! Stores the outcome of an attempt, for as long as that takes: only this process has the new tokens, and no other process
//! can end its claim while it lives.

use std::time::Duration;

use credvault_domain::{AuditEvent, AuditOutcome, Reason};
use credvault_store::{Claimed, Error, RefreshFailure, RefreshedTokens};

use super::error::RefreshError;
use super::worker::Worker;

/// The pause before the database is asked for the second time. Doubled each time.
const FIRST_STORE_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts to store an outcome.
const MAX_STORE_PAUSE: Duration = Duration::from_secs(5);

impl Worker {
    /// Stores new tokens. The connection needs a new consent if the database can never take them.
    pub(super) async fn store_tokens(
        &self,
        claimed: &Claimed,
        refreshed: &RefreshedTokens,
        event: &AuditEvent,
    ) -> Result<(), RefreshError> {
        let connection = claimed.key.connection();
        let mut pause = FIRST_STORE_PAUSE;
        loop {
            match self.parts.store.refreshes().store(claimed, refreshed, event).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    tracing::info!(%connection, "new tokens were not stored, because the credential was replaced or destroyed meanwhile");
                    return Ok(());
                }
                Err(error) if error.is_transient() => {
                    tracing::error!(%connection, %error, "new tokens could not be stored yet; it is tried again");
                    wait(&mut pause).await;
                }
                Err(error) => {
                    tracing::error!(%connection, %error, "new tokens cannot be stored");
                    return Err(self.end_as_dead(claimed, event.clone()).await);
                }
            }
        }
    }

    /// Ends a claim without new tokens. `false` if the credential was replaced meanwhile.
    pub(super) async fn end_claim(
        &self,
        claimed: &Claimed,
        failure: &RefreshFailure,
        event: &AuditEvent,
    ) -> Result<bool, Error> {
        let mut pause = FIRST_STORE_PAUSE;
        loop {
            match self.parts.store.refreshes().fail(claimed, failure, event).await {
                Err(error) if error.is_transient() => {
                    let connection = claimed.key.connection();
                    tracing::warn!(%connection, %error, "the end of a refresh could not be stored yet; it is tried again");
                    wait(&mut pause).await;
                }
                ended => return ended,
            }
        }
    }

    /// Ends a claim whose tokens are lost.
    async fn end_as_dead(&self, claimed: &Claimed, mut event: AuditEvent) -> RefreshError {
        event.outcome = AuditOutcome::Failed;
        event.reason = Some(Reason::ReauthorizationRequired);
        match self.end_claim(claimed, &RefreshFailure::Dead { code: None }, &event).await {
            Ok(_) => RefreshError::Reauthorize,
            Err(error) => RefreshError::of_store(&error),
        }
    }
}

async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(MAX_STORE_PAUSE);
}
