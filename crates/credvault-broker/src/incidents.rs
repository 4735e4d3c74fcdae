//! What this replica's requests have met at providers, gathered in memory and reported to the others through the store;
//! and the incidents that follow from all replicas' reports. Refreshes, tests of credentials and exchanges of codes count,
//! and only if the provider answers for the server that was asked. Nothing here is on the path of a request but a lock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use credvault_catalog::{Call, Mode, RefusalKind};
use credvault_domain::{Config, ProviderId, TenantId, Timestamp};
use credvault_store::{Error, Incident, Signal, Store, slot_of};
use tokio_util::sync::CancellationToken;

use crate::every::every;

/// How often signals are reported and incidents looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long a success that says nothing new is not reported again.
const SUCCESS_REST: Duration = Duration::from_secs(60);

/// A request that was sent to a provider.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The provider that was asked.
    pub(crate) provider: &'a ProviderId,
    /// The tenant for which it was asked.
    pub(crate) tenant: &'a TenantId,
    /// The auth mode of the connection.
    pub(crate) mode: &'a Mode,
    /// The settings that the request was filled with.
    pub(crate) config: &'a Config,
    /// The call of the mode that was made.
    pub(crate) call: &'a Call,
}

/// Signals that wait to be reported, and the incidents that are open.
#[derive(Default)]
pub(crate) struct Incidents {
    waiting: Mutex<HashMap<(ProviderId, u8), Signal>>,
    /// When a success of a slot was last reported.
    reported: Mutex<HashMap<(ProviderId, u8), Timestamp>>,
    open: Mutex<Vec<Incident>>,
}

impl Incidents {
    /// Records whether a provider has answered: `outcome` is what its answer was read as, or that there was none. A server
    /// of the tenant's own choice, or a sandbox, tells nothing of the provider, so that no tenant can bring evidence by it.
    pub(crate) fn record(&self, asked: Asked<'_>, outcome: Result<(), Option<RefusalKind>>, now: Timestamp) {
        let Asked { provider, tenant, mode, config, call } = asked;
        if !mode.asks_provider(call, config) {
            return;
        }
        let answered = match outcome {
            Ok(()) => true,
            Err(refusal) => refusal.is_some_and(RefusalKind::is_answer),
        };
        self.count((provider.clone(), slot_of(tenant)), answered, now);
    }

    fn count(&self, key: (ProviderId, u8), answered: bool, now: Timestamp) {
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
