//! Circuit breakers: what a provider refuses to several stops requests of others for a while. No clock and no I/O of its
//! own.
//!
//! What a provider answers to one connection concerns that connection, whose own retry time takes care of it. A circuit
//! opens only if several report the same failure: several connections of a tenant open it for that tenant, several tenants
//! for all. So no tenant can open a circuit that another tenant needs, or keep it open.

use std::collections::HashMap;
use std::time::Duration;

use credvault_domain::{ConnectionId, ProviderId, TenantId, Timestamp};
use credvault_store::{AppKey, LeftOut};

use super::circuit::{Attempt, Circuit, CircuitOpen, Outcome};
use super::idle::forget_idle;

/// The longest pause that a provider can ask for.
const MAX_REQUESTED_PAUSE: Duration = Duration::from_secs(3600);
/// How many apps the search leaves out at once.
const MAX_LEFT_OUT_APPS: usize = 100;

/// What fails as one: an app at a provider, and if accounts have hosts of their own, at one of these hosts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct BreakerKey {
    pub(crate) app: AppKey,
    /// The tenant whose own app it is; `None` for the platform's.
    pub(crate) app_owner: Option<TenantId>,
    pub(crate) host: Option<String>,
}

/// The circuits that have had a failure since their last success.
#[derive(Default)]
pub(super) struct Breakers {
    /// Circuits for all tenants, which are their members.
    shared: HashMap<BreakerKey, Circuit<TenantId>>,
    /// Circuits for one tenant each, whose connections are their members.
    of_tenant: HashMap<(TenantId, BreakerKey), Circuit<ConnectionId>>,
}

impl Breakers {
    /// Lets an attempt through, unless a circuit is open. It is a probe for each circuit that is half open.
    pub(super) fn admit(
        &mut self,
        key: &BreakerKey,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<(), CircuitOpen> {
        if let Some(circuit) = self.shared.get_mut(key) {
            circuit.check(&attempt.tenant, attempt, now)?;
        }
        if let Some(circuit) = self.of_tenant.get_mut(&(attempt.tenant.clone(), key.clone())) {
            circuit.check(&attempt.connection, attempt, now)?;
            circuit.enter(&attempt.connection, now);
        }
        if let Some(circuit) = self.shared.get_mut(key) {
            circuit.enter(&attempt.tenant, now);
        }
        Ok(())
    }

    /// Records the outcome of an attempt. Whether the circuit for all tenants has opened by it. The pause after an outage
    /// is multiplied by `jitter`.
    pub(super) fn record(
        &mut self,
        key: &BreakerKey,
        attempt: &Attempt,
        outcome: Outcome,
        now: Timestamp,
        jitter: f64,
    ) -> bool {
        let own_key = (attempt.tenant.clone(), key.clone());
        let Outcome::Failure { pause, retry } = outcome else {
            self.shared.remove(key);
            self.of_tenant.remove(&own_key);
            return false;
        };
        forget_idle(&mut self.of_tenant, &own_key, |circuit| circuit.is_open(now));
        forget_idle(&mut self.shared, key, |circuit| circuit.is_open(now));
        let until = now.after(retry.min(MAX_REQUESTED_PAUSE));
        let own = self.of_tenant.entry(own_key).or_default();
        own.record(&attempt.connection, pause, until, now, jitter);
        self.shared.entry(key.clone()).or_default().record(&attempt.tenant, pause, until, now, jitter)
    }

    /// Closes the circuits that an app of this provider has opened, because the app was stored again.
    pub(super) fn forget_app_failures(&mut self, provider: &ProviderId) {
        let other = |key: &BreakerKey| key.app.provider != *provider;
        self.shared.retain(|key, circuit| other(key) || !circuit.blames_app());
        self.of_tenant.retain(|(_, key), circuit| other(key) || !circuit.blames_app());
    }

    /// The apps for which nothing is sent at all: not more than [`MAX_LEFT_OUT_APPS`] of them.
    pub(super) fn left_out(&self, now: Timestamp) -> Vec<LeftOut> {
        let app_of = |tenant: Option<&TenantId>, key: &BreakerKey| LeftOut {
            tenant: tenant.or(key.app_owner.as_ref()).cloned(),
            app: Some(key.app.clone()),
        };
        let is_out = |key: &BreakerKey, open: bool| key.host.is_none() && open;
        let shared = self.shared.iter().filter(|(key, circuit)| is_out(key, circuit.is_open(now)));
        let own = self.of_tenant.iter().filter(|((_, key), circuit)| is_out(key, circuit.is_open(now)));
        let shared = shared.map(|(key, _)| app_of(None, key));
        shared
            .chain(own.map(|((tenant, key), _)| app_of(Some(tenant), key)))
            .take(MAX_LEFT_OUT_APPS)
            .collect()
    }
}

#[cfg(test)]
mod tests;
