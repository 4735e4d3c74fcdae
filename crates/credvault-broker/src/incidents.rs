//! What this replica's refreshes have met at providers, gathered in memory and reported to the others through the store;
//! and the incidents that follow from all replicas' reports. Nothing here is on the path of a refresh but a lock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use credvault_domain::{ProviderId, TenantId, Timestamp};
use credvault_store::{Error, Incident, Signal, Store, slot_of};
use tokio_util::sync::CancellationToken;

use crate::every::every;

/// How often signals are reported and incidents looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long a success that says nothing new is not reported again.
const SUCCESS_REST: Duration = Duration::from_secs(60);

/// Signals that wait to be reported, and the incidents that are open.
#[derive(Default)]
pub(crate) struct Incidents {
    waiting: Mutex<HashMap<(ProviderId, u8), Signal>>,
    /// When a success of a slot was last reported.
    reported: Mutex<HashMap<(ProviderId, u8), Timestamp>>,
    open: Mutex<Vec<Incident>>,
}

impl Incidents {
    /// Records that a provider has answered a tenant's request, or has not.
    pub(crate) fn record(&self, provider: &ProviderId, tenant: &TenantId, answered: bool, now: Timestamp) {
        let key = (provider.clone(), slot_of(tenant));
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if answered {
            let last = reported.insert(key.clone(), now);
            if let Some(last) = last.filter(|last| last.after(SUCCESS_REST) > now) {
                reported.insert(key, last);
                return;
            }
        } else {
            // The next success is news.
            reported.remove(&key);
        }
        drop(reported);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (provider, slot) = key.clone();
        let none = Signal { provider, slot, failures: 0, failed: None, succeeded: None };
        let signal = waiting.entry(key).or_insert(none);
        if answered {
            (signal.failures, signal.succeeded) = (0, Some(now));
        } else {
            (signal.failures, signal.failed) = (signal.failures.saturating_add(1), Some(now));
        }
    }

    /// Whether a provider has an incident at the moment.
    pub(crate) fn is_open(&self, provider: &ProviderId) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().any(|incident| incident.provider == *provider)
    }

    /// The incidents that are open, as of a few seconds ago.
    pub(crate) fn all(&self) -> Vec<Incident> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reports and looks, until `stop`.
    pub(crate) async fn run(&self, store: &Store, stop: CancellationToken) {
        let mut ticks = every(INTERVAL, &stop);
        while ticks.next().await.is_some() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.look(store)).await {
                tracing::warn!(%error, "incidents of providers could not be looked at");
            }
        }
    }

    async fn look(&self, store: &Store) -> Result<(), Error> {
        let signals: Vec<Signal> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.drain().map(|(_, signal)| signal).collect()
        };
        store.report_signals(&signals).await?;
        let before = self.all();
        // Without a failure here or an open incident, there is nothing to decide.
        let open = match before.is_empty() && signals.iter().all(|signal| signal.failed.is_none()) {
            true => store.incidents().await?,
            false => store.review_incidents().await?,
        };
        for incident in &before {
            let gauge =
                metrics::gauge!("credvault_provider_incidents", "provider" => incident.provider.to_string());
            gauge.set(0);
        }
        for incident in &open {
            let gauge =
                metrics::gauge!("credvault_provider_incidents", "provider" => incident.provider.to_string());
            gauge.set(1);
        }
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = open;
        Ok(())
    }
}
