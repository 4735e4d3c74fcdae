//! How often callers may call, and how much of a tenant's allowance one of its users or services can have.
//!
//! Each rate is one of the tenant's. A user and a service have a part of it each (`user_share_percent`,
//! `service_share_percent`), so none of them can spend the tenant's whole allowance. A call counts at every layer or at
//! none: a caller that is refused costs the others nothing.
//!
//! Calls and fetches count in this process ([`buckets`]), for they are cheap and must stay so. What calls a provider
//! (an exchange, a forced refresh, a test, also because of a reported credential) counts in the database, over all
//! replicas.

mod buckets;
mod exceeded;
mod layers;

use std::num::NonZeroU32;
use std::time::Duration;

use credvault_domain::{
    ConnectionId, LimitKind, LimitSubject, LimitValues, ServiceId, TenantId, TenantScope, UserId,
};
use credvault_store::Store;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use tokio::time::Instant;

use crate::Refusal;
use buckets::{Buckets, Key};
pub use exceeded::Exceeded;
pub(crate) use layers::Counted;
pub use layers::RateSettings;
use layers::{Layer, layers};

/// How many refusals of one service are recorded each second.
const RECORDED_REFUSALS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("it is not zero");
/// How many refusals of one service are recorded at once.
const RECORDED_REFUSALS_AT_ONCE: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");
/// For how long a budget of the database that was spent is taken for spent without asking again.
const SPENT: Duration = Duration::from_secs(1);

/// The counts of this process.
pub(crate) struct Limits {
    settings: RateSettings,
    /// Buckets of tenants, and of services for tenants.
    tenants: Buckets,
    /// Buckets of users. Callers bring as many names as they like, so they have a table of their own.
    users: Buckets,
    begun: Instant,
    inquiries: Option<DefaultKeyedRateLimiter<(ServiceId, TenantId, ConnectionId)>>,
    recorded_refusals: DefaultKeyedRateLimiter<Option<ServiceId>>,
}

impl Limits {
    pub(crate) fn new(settings: RateSettings) -> Self {
        let refusals = Quota::per_second(RECORDED_REFUSALS_PER_SECOND).allow_burst(RECORDED_REFUSALS_AT_ONCE);
        let inquiries = settings.rejection_calls_per_minute.map(Quota::per_minute);
        Self {
            settings,
            tenants: Buckets::default(),
            users: Buckets::default(),
            begun: Instant::now(),
            inquiries: inquiries.map(DefaultKeyedRateLimiter::keyed),
            recorded_refusals: DefaultKeyedRateLimiter::keyed(refusals),
        }
    }

    /// The limits of a tenant that has none of its own.
    pub(crate) fn defaults(&self) -> &LimitValues {
        &self.settings.defaults
    }

    /// Nanoseconds since the process began, and a second more: an instant that a bucket was never used at is before it.
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1_000_000_000)
    }

    /// How many calls, or fetches, may come at once, if there is a limit.
    pub(crate) fn at_once(&self, values: &LimitValues, counted: Counted<'_>) -> Option<u64> {
        let all = [LimitKind::CallsPerSecond, LimitKind::FetchesPerSecond];
        let of = |kind| layers(&self.settings, values, kind, counted).map(|layer| layer.burst).min();
        all.into_iter().filter_map(of).min()
    }

    /// Counts `calls` as all of these kinds, and refuses those beyond a limit.
    pub(crate) fn count(
        &self,
        values: &LimitValues,
        kinds: &[LimitKind],
        counted: Counted<'_>,
        calls: u32,
    ) -> Result<(), Refusal> {
        self.count_at(self.now(), values, kinds, counted, calls)
    }

    fn count_at(
        &self,
        now: u64,
        values: &LimitValues,
        kinds: &[LimitKind],
        counted: Counted<'_>,
        calls: u32,
    ) -> Result<(), Refusal> {
        let calls = u64::from(calls);
        let all = || kinds.iter().flat_map(|kind| layers(&self.settings, values, *kind, counted));
        for (place, layer) in all().enumerate() {
            let (buckets, key) = self.bucket(&layer, counted);
            let Err(retry) = buckets.take(key, layer.rate(), calls, now) else { continue };
            for taken in all().take(place) {
                let (buckets, key) = self.bucket(&taken, counted);
                buckets.give_back(key, taken.rate(), calls, now);
            }
            return Err(layer.exceeded(retry).into());
        }
        Ok(())
    }

    /// Counts a call of a service that administers a namespace, at the rate of services only: a tenant's own callers do not
    /// keep its administrators out.
    pub(crate) fn count_administration(&self, service: &ServiceId, tenant: &TenantId) -> Result<(), Refusal> {
        let Some(layer) = layers::of_service(&self.settings, &self.settings.defaults) else { return Ok(()) };
        let key = self.tenants.key(("administration", tenant.as_str()), service.as_str());
        let taken = self.tenants.take(key, layer.rate(), 1, self.now());
        taken.map_err(|retry| layer.exceeded(retry).into())
    }

    /// Counts a call to a provider over all replicas, and refuses it beyond a limit.
    pub(crate) async fn count_everywhere(
        &self,
        store: &Store,
        scope: &TenantScope,
        values: &LimitValues,
        kind: LimitKind,
        counted: Counted<'_>,
    ) -> Result<(), Refusal> {
        // The tenant comes first: that row is locked before the others, on every replica.
        let mut all: Vec<Layer> = layers(&self.settings, values, kind, counted).collect();
        all.reverse();
        let now = self.now();
        for layer in &all {
            let (buckets, key) = self.bucket(layer, counted);
            if let Some(left) = buckets.closed_for(key, now) {
                return Err(layer.exceeded(left).into());
            }
        }
        let rows: Vec<_> = all.iter().map(|layer| layer.row(counted)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let Some(spent) = store.take_rate(scope, kind, &rows).await? else { return Ok(()) };
        let layer = all.get(spent.layer).ok_or(Refusal::Internal)?;
        let (buckets, key) = self.bucket(layer, counted);
        let until = u64::try_from(spent.wait.min(SPENT).as_nanos()).unwrap_or(u64::MAX);
        buckets.close(key, now, now.saturating_add(until));
        Err(layer.exceeded(spent.wait).into())
    }

    /// How many calls of a kind the tenant as a whole has in use on this replica.
    pub(crate) fn in_use(&self, values: &LimitValues, kind: LimitKind, tenant: &TenantId) -> Option<u64> {
        let layer = layers::of_tenant(values, kind)?;
        let key = self.tenants.key((layer.name(), tenant.as_str()), "");
        Some(self.tenants.in_use(key, layer.rate(), self.now()))
    }

    /// The bucket of a layer.
    fn bucket(&self, layer: &Layer, counted: Counted<'_>) -> (&Buckets, Key) {
        let namespace = (layer.name(), counted.tenant.as_str());
        match layer.of {
            LimitSubject::Tenant => (&self.tenants, self.tenants.key(namespace, "")),
            LimitSubject::Service => (&self.tenants, self.tenants.key(namespace, counted.service.as_str())),
            LimitSubject::User => (&self.users, self.users.key(namespace, counted.user.map(UserId::as_str))),
        }
    }

    /// Counts a call to a provider that a service's report about a connection causes.
    ///
    /// # Errors
    /// It is beyond the limit, and for how long.
    pub(crate) fn count_inquiry(
        &self,
        service: &ServiceId,
        tenant: &TenantId,
        connection: ConnectionId,
    ) -> Result<(), Duration> {
        let Some(inquiries) = &self.inquiries else { return Ok(()) };
        let key = (service.clone(), tenant.clone(), connection);
        let wait = |not_until: governor::NotUntil<_>| not_until.wait_time_from(DefaultClock::default().now());
        inquiries.check_key(&key).map_err(wait)
    }

    /// Whether the log has room for another refusal of this service. A service that is refused without end would fill the
    /// disk otherwise; the metrics count what is left out.
    pub(crate) fn records_refusal(&self, service: Option<&ServiceId>) -> bool {
        self.recorded_refusals.check_key(&service.cloned()).is_ok()
    }

    /// Forgets services that have not been refused for a while.
    pub(crate) fn forget_idle(&self) {
        if let Some(inquiries) = &self.inquiries {
            inquiries.retain_recent();
        }
        self.recorded_refusals.retain_recent();
    }
}

#[cfg(test)]
mod tests;
