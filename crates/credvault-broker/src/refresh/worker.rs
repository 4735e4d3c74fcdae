//! What attempts to refresh share in one process. The files beside this one add the steps of an attempt.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_catalog::Mode;
use credvault_domain::{AuthMode, ProviderId};
use credvault_store::Turns;

use crate::incidents::Incidents;
use crate::parts::Parts;
use crate::throttle::Throttle;

/// Calls to one provider at once.
const MAX_CALLS_PER_PROVIDER: usize = 32;

/// Makes attempts to refresh tokens.
pub(super) struct Worker {
    pub(super) parts: Parts,
    pub(super) throttle: Throttle,
    pub(super) incidents: Incidents,
    /// For how long a refresh of uncertain outcome is repeated before a consent is asked for.
    pub(super) give_up_after: Duration,
    /// Turns at each provider, so that a slow provider does not use up the calls of the others.
    turns: Mutex<HashMap<ProviderId, Turns>>,
}

impl Worker {
    /// A worker that makes at most `per_second` calls for one app; 0 means no limit.
    pub(super) fn new(parts: Parts, per_second: u32, give_up_after: Duration) -> Self {
        let Parts { store, clock, random, .. } = &parts;
        let throttle = Throttle::new(store.clone(), Arc::clone(clock), Arc::clone(random), per_second);
        Self { parts, throttle, incidents: Incidents::default(), give_up_after, turns: Mutex::default() }
    }

    /// The auth mode in the catalog, if the catalog still has it.
    pub(super) fn mode(&self, provider: &ProviderId, mode: &AuthMode) -> Option<&Mode> {
        self.parts.catalog.get(provider)?.mode(mode)
    }

    /// The turns at a provider, which tenants share.
    pub(super) fn turns(&self, provider: &ProviderId) -> Turns {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(provider.clone()).or_insert_with(|| Turns::new(MAX_CALLS_PER_PROVIDER)).clone()
    }
}
