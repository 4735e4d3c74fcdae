//! Claims a refresh, or waits for the replica that has claimed it.

use std::time::Duration;

use credvault_catalog::Mode;
use credvault_domain::{Action, AuditEvent, AuthMode, Connection, ProviderId};
use credvault_store::{Claim, ConnectionKey, GiveUp, Pause, RepeatRisk};
use tokio::time::Instant;

use super::error::RefreshError;
use super::refresher::Need;
use super::worker::Worker;

/// How often a claim of another replica is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long a claim of another replica is awaited, on behalf of all callers of this process.
const CLAIM_WAIT_TIMEOUT: Duration = Duration::from_secs(60);

impl Worker {
    /// Refreshes the tokens of generation `seen`, or waits until another replica has.
    pub(super) async fn refresh(
        &self,
        key: &ConnectionKey,
        seen: i64,
        need: Need,
    ) -> Result<(), RefreshError> {
        let deadline = Instant::now() + CLAIM_WAIT_TIMEOUT;
        let mut forced = need == Need::Forced;
        loop {
            let started = Instant::now();
            match self.claim(key, seen, forced).await? {
                Claim::Ours(claimed) => return self.attempt(*claimed, started).await,
                Claim::Changed => return Ok(()),
                Claim::Dead => {
                    self.put_off(key, seen, true).await?;
                    return Err(RefreshError::Reauthorize);
                }
                Claim::Nothing => {
                    self.put_off(key, seen, false).await?;
                    return Err(RefreshError::Nothing);
                }
                Claim::Later { time, pause, connection } => {
                    if forced || !self.is_cause_gone(key, &connection, pause).await? {
                        let retry = self.parts.clock.now().until(time);
                        return Err(RefreshError::of_pause(pause, retry));
                    }
                    forced = true;
                }
                Claim::Busy if Instant::now() < deadline => tokio::time::sleep(POLL_INTERVAL).await,
                Claim::Busy => return Err(RefreshError::Unavailable { retry: POLL_INTERVAL }),
            }
        }
    }

    async fn claim(&self, key: &ConnectionKey, seen: i64, forced: bool) -> Result<Claim, RefreshError> {
        let store = &self.parts.store;
        let risk = |provider: &ProviderId, mode: &AuthMode| self.repeat_risk(provider, mode);
        let has_incident = |provider: &ProviderId| self.incidents.is_open(provider);
        let give_up_after = self.give_up_after;
        let give_up_when = GiveUp { give_up_after, risk: &risk, has_incident: &has_incident };
        match store.refreshes().claim(key, seen, give_up_when, forced).await {
            Ok(claim) => Ok(claim),
            Err(error) if error.is_damage() => {
                let event = AuditEvent::of(key.tenant().clone(), Action::RefreshConnection);
                store.broken(key, &event).await.map_err(|error| RefreshError::of_store(&error))?;
                Err(RefreshError::Integrity)
            }
            Err(error) => Err(RefreshError::of_store(&error)),
        }
    }

    /// What it risks to send a refresh token of this mode again after an uncertain outcome.
    pub(super) fn repeat_risk(&self, provider: &ProviderId, mode: &AuthMode) -> RepeatRisk {
        let refresh = self.mode(provider, mode).and_then(Mode::refresh);
        match refresh.map(|refresh| refresh.policy) {
            Some(policy) if policy.repeatable() => RepeatRisk::Nothing,
            Some(policy) if policy.reuse_ends_other_consents => RepeatRisk::OtherConsents,
            // A mode that the catalog does not have any more is not refreshed either.
            Some(_) | None => RepeatRisk::Consent,
        }
    }

    /// Has the search leave alone what cannot be refreshed. If callers may ask again, it is found at its retry time.
    async fn put_off(&self, key: &ConnectionKey, seen: i64, asked_again: bool) -> Result<(), RefreshError> {
        let put_off = self.parts.store.refreshes().put_off(key, seen, asked_again).await;
        put_off.map_err(|_| RefreshError::Store)
    }

    /// Whether a pause has lost its cause: the app was replaced, or its secret opens again.
    async fn is_cause_gone(
        &self,
        key: &ConnectionKey,
        connection: &Connection,
        pause: Pause,
    ) -> Result<bool, RefreshError> {
        let apps = self.parts.store.apps();
        let place = self.parts.app_place(&connection.provider, &connection.config);
        match pause {
            Pause::App { revision, .. } => {
                let now = apps.revision_at(key, &place).await;
                Ok(now.map_err(|error| RefreshError::of_store(&error))? != revision)
            }
            Pause::Broken => Ok(apps.usable_at(key, &place).await.is_ok()),
            Pause::Unavailable
            | Pause::AtWork
            | Pause::Throttled
            | Pause::Crowded
            | Pause::Vault
            | Pause::Uncatalogued
            | Pause::Refused
            | Pause::Incomplete
            | Pause::Clock => Ok(false),
        }
    }
}
