//! How fast refreshes go to a provider: a budget for each app, shared by all replicas ([`budget`]), and circuit breakers
//! in each replica, which stop requests to a provider that fails ([`breaker`]). It sends nothing itself.

pub(crate) mod breaker;
mod budget;
pub(crate) mod circuit;
mod idle;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use credvault_domain::{Clock, ProviderId, Random, TenantId, jitter};
use credvault_store::{AppKey, Full, LeftOut, Store, Turn};
use tokio::time::Instant;

use breaker::{BreakerKey, Breakers};
use budget::Budget;
use circuit::{Attempt, CircuitOpen, Outcome};

/// Limits the refreshes of this process.
pub(crate) struct Throttle {
    budget: Budget,
    breakers: Mutex<Breakers>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Throttle {
    /// A throttle for `per_second` calls of one app in any second; 0 means no limit.
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>, per_second: u32) -> Self {
        Self { budget: Budget::new(store, per_second), breakers: Mutex::default(), clock, random }
    }

    /// Lets an attempt through, unless a circuit is open.
    pub(crate) fn admit(&self, key: &BreakerKey, attempt: &Attempt) -> Result<(), CircuitOpen> {
        self.breakers().admit(key, attempt, self.clock.now())
    }

    /// Records the outcome of an attempt that was let through.
    pub(crate) fn record(&self, key: &BreakerKey, attempt: &Attempt, outcome: Outcome) {
        let jitter = jitter(&*self.random, 0.5..=1.0);
        if self.breakers().record(key, attempt, outcome, self.clock.now(), jitter) {
            let (provider, host) = (key.app.provider.as_str(), key.host.as_deref());
            tracing::warn!(
                provider,
                host,
                ?outcome,
                "a circuit breaker opened for all tenants, because several tenants met the same failure"
            );
        }
    }

    /// The apps and tenants whose circuits are open, which the search for due refreshes leaves out.
    pub(crate) fn left_out(&self) -> Vec<LeftOut> {
        self.breakers().left_out(self.clock.now())
    }

    /// Closes the circuits that an app of this provider has opened, because the app was stored again.
    pub(crate) fn forget_app_failures(&self, provider: &ProviderId) {
        self.breakers().forget_app_failures(provider);
    }

    /// A permit to start another due refresh of a tenant with an app. The number of permits follows from the budget, so
    /// that a refresh that was started does not wait for long. `None` if there is no budget to wait for.
    pub(crate) fn permit_due(&self, app: &AppKey, tenant: &TenantId) -> Result<Option<Turn>, Full> {
        self.budget.permit_due(app, tenant)
    }

    /// Takes one call from the app's budget, and waits for that until `deadline`. Whether a call was taken.
    pub(crate) async fn take(
        &self,
        app: &AppKey,
        tenant: &TenantId,
        deadline: Instant,
    ) -> Result<bool, credvault_store::Error> {
        self.budget.take(app, tenant, deadline).await
    }

    fn breakers(&self) -> MutexGuard<'_, Breakers> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
