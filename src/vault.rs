//! What every call works with.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use credvault_broker::Broker;
use credvault_catalog::{Catalog, Mode};
use credvault_domain::{AuthMode, Clock, ProviderId, Random, ServiceId, TenantId};
use credvault_identity::Identity;
use credvault_store::Store;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use crate::settings::{CallRate, Settings};
use credvault_operations::Refusal;

/// How many refusals of a service are recorded: that many a second, and that many at once.
const REFUSALS: NonZeroU32 = NonZeroU32::new(20).expect("it is not zero");
const REFUSALS_BURST: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");

/// What every call works with.
pub(crate) struct Vault {
    pub(crate) store: Store,
    pub(crate) identity: Arc<Identity>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) broker: Broker,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cache: Duration,
    /// Whose pages may be told of a browser's return.
    pub(crate) origins: Vec<String>,
    rate: Option<Rate>,
    refusals: DefaultKeyedRateLimiter<Option<ServiceId>>,
    forced: Option<DefaultKeyedRateLimiter<TenantId>>,
    /// How many calls may come at once.
    pub(crate) burst: Option<NonZeroU32>,
}

/// Calls per second of one service for one tenant.
type Rate = DefaultKeyedRateLimiter<(ServiceId, TenantId)>;

impl Vault {
    pub(crate) fn new(
        store: Store,
        identity: Arc<Identity>,
        catalog: Arc<Catalog>,
        broker: Broker,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
        settings: &Settings,
    ) -> Self {
        let (limits, origins) = (&settings.limits, settings.public.origins.clone());
        let quota = |rate: CallRate| Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let (rate, burst) =
            (limits.rate.map(|rate| Rate::keyed(quota(rate))), limits.rate.map(|rate| rate.burst));
        let refusals =
            DefaultKeyedRateLimiter::keyed(Quota::per_second(REFUSALS).allow_burst(REFUSALS_BURST));
        let forced = settings
            .broker
            .forced_refreshes_per_minute
            .map(|rate| DefaultKeyedRateLimiter::keyed(Quota::per_minute(rate)));
        Self {
            store,
            identity,
            catalog,
            broker,
            random,
            clock,
            cache: limits.cache,
            origins,
            rate,
            refusals,
            forced,
            burst,
        }
    }

    /// Counts a refresh that a caller insists on, and refuses those beyond the tenant's limit.
    pub(crate) fn count_forced(&self, tenant: &TenantId) -> Result<(), Refusal> {
        let Some(forced) = &self.forced else { return Ok(()) };
        let wait = |not_until: governor::NotUntil<_>| not_until.wait_time_from(DefaultClock::default().now());
        forced.check_key(tenant).map_err(|not_until| Refusal::TooManyRefreshes(wait(not_until)))
    }

    /// Counts `calls` of a service for a tenant, and refuses those beyond the limit.
    pub(crate) fn count(&self, service: &ServiceId, tenant: &TenantId, calls: u32) -> Result<(), Refusal> {
        let (Some(rate), Some(calls)) = (&self.rate, NonZeroU32::new(calls)) else { return Ok(()) };
        match rate.check_key_n(&(service.clone(), tenant.clone()), calls) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => {
                Err(Refusal::RateLimited(not_until.wait_time_from(DefaultClock::default().now())))
            }
            // More than a burst. Only a batch counts more than one, and the handler refuses such a batch.
            Err(_) => Err(Refusal::RateLimited(Duration::from_secs(1))),
        }
    }

    /// Whether there is room in the log for another refusal of this caller. A caller that is refused without end would
    /// fill the disk otherwise; what is left out is counted.
    pub(crate) fn records_refusal(&self, service: Option<&ServiceId>) -> bool {
        self.refusals.check_key(&service.cloned()).is_ok()
    }

    /// Forgets services that have not called for a while.
    pub(crate) fn forget_idle(&self) {
        if let Some(rate) = &self.rate {
            rate.retain_recent();
        }
        if let Some(forced) = &self.forced {
            forced.retain_recent();
        }
        self.refusals.retain_recent();
    }

    /// The mode of a stored connection.
    pub(crate) fn mode(&self, provider: &ProviderId, mode: &AuthMode) -> Result<&Mode, Refusal> {
        let found = self.catalog.get(provider).and_then(|provider| provider.mode(mode));
        found.ok_or_else(|| Refusal::CatalogEntryGone(provider.clone()))
    }
}
