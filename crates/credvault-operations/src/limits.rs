//! How often callers may call: each service for each tenant, refreshes that callers insist on, and refusals on record.
//! Counts of this process alone; a replica counts for itself.

use std::num::NonZeroU32;
use std::time::Duration;

use credvault_domain::{ConnectionId, ServiceId, TenantId};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use crate::Refusal;

/// How many refusals of one service are recorded each second.
const RECORDED_REFUSALS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("it is not zero");
/// How many refusals of one service are recorded at once.
const RECORDED_REFUSALS_AT_ONCE: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");

/// What operators set. `None` means no limit.
#[derive(Clone, Copy, Default, Debug)]
pub struct RateSettings {
    /// How fast one service may call for one tenant.
    pub calls: Option<CallRate>,
    /// How many refreshes the callers of one tenant may insist on each minute.
    pub forced_refreshes_per_minute: Option<NonZeroU32>,
    /// How many calls to providers the reports of one service, for one tenant, about one connection may cause each minute.
    pub rejection_calls_per_minute: Option<NonZeroU32>,
}

/// How fast one service may call for one tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallRate {
    /// Calls per second in the long run.
    pub per_second: NonZeroU32,
    /// Calls at the same moment.
    pub burst: NonZeroU32,
}

/// The counts of this process.
pub(crate) struct Limits {
    calls: Option<DefaultKeyedRateLimiter<(ServiceId, TenantId)>>,
    forced_refreshes: Option<DefaultKeyedRateLimiter<TenantId>>,
    inquiries: Option<DefaultKeyedRateLimiter<(ServiceId, TenantId, ConnectionId)>>,
    recorded_refusals: DefaultKeyedRateLimiter<Option<ServiceId>>,
    calls_at_once: Option<NonZeroU32>,
}

impl Limits {
    pub(crate) fn new(settings: RateSettings) -> Self {
        let calls = settings.calls.map(|rate| Quota::per_second(rate.per_second).allow_burst(rate.burst));
        let forced = settings.forced_refreshes_per_minute.map(Quota::per_minute);
        let inquiries = settings.rejection_calls_per_minute.map(Quota::per_minute);
        let refusals = Quota::per_second(RECORDED_REFUSALS_PER_SECOND).allow_burst(RECORDED_REFUSALS_AT_ONCE);
        Self {
            calls: calls.map(DefaultKeyedRateLimiter::keyed),
            forced_refreshes: forced.map(DefaultKeyedRateLimiter::keyed),
            inquiries: inquiries.map(DefaultKeyedRateLimiter::keyed),
            recorded_refusals: DefaultKeyedRateLimiter::keyed(refusals),
            calls_at_once: settings.calls.map(|rate| rate.burst),
        }
    }

    /// How many calls may come at once, if there is a limit.
    pub(crate) fn calls_at_once(&self) -> Option<u32> {
        self.calls_at_once.map(NonZeroU32::get)
    }

    /// Counts `calls` of a service for a tenant, and refuses those beyond the limit.
    pub(crate) fn count(&self, service: &ServiceId, tenant: &TenantId, calls: u32) -> Result<(), Refusal> {
        let (Some(rate), Some(calls)) = (&self.calls, NonZeroU32::new(calls)) else { return Ok(()) };
        match rate.check_key_n(&(service.clone(), tenant.clone()), calls) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => {
                Err(Refusal::RateLimited(not_until.wait_time_from(DefaultClock::default().now())))
            }
            // More than may come at once. Only a batch counts more than one call, and it refuses such a request.
            Err(_) => Err(Refusal::RateLimited(Duration::from_secs(1))),
        }
    }

    /// Counts a refresh that a caller insists on, and refuses those beyond the tenant's limit.
    pub(crate) fn count_forced(&self, tenant: &TenantId) -> Result<(), Refusal> {
        let Some(forced) = &self.forced_refreshes else { return Ok(()) };
        let wait = |not_until: governor::NotUntil<_>| not_until.wait_time_from(DefaultClock::default().now());
        forced.check_key(tenant).map_err(|not_until| Refusal::TooManyRefreshes(wait(not_until)))
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

    /// Forgets services and tenants that have not called for a while.
    pub(crate) fn forget_idle(&self) {
        if let Some(calls) = &self.calls {
            calls.retain_recent();
        }
        if let Some(forced) = &self.forced_refreshes {
            forced.retain_recent();
        }
        if let Some(inquiries) = &self.inquiries {
            inquiries.retain_recent();
        }
        self.recorded_refusals.retain_recent();
    }
}
