//! The layers at which a call of a kind counts: its user, its service, the tenant, in this order, so that a caller who has
//! spent its own part never touches the tenant's.

use std::num::NonZeroU32;
use std::time::Duration;

use credvault_domain::{LimitKind, LimitSubject, LimitValues, ServiceId, TenantId, UserId};
use credvault_store::RateLayer;

use super::buckets::Rate;
use super::exceeded::Exceeded;

/// What operators set for all tenants.
#[derive(Clone, Copy, Debug)]
pub struct RateSettings {
    /// The limits of a tenant that has none of its own.
    pub defaults: LimitValues,
    /// Calls of one service for one tenant at the same moment; `None` means as many as in a second.
    pub service_burst: Option<NonZeroU32>,
    /// How many calls to providers the reports of one service, for one tenant, about one connection may cause each minute.
    pub rejection_calls_per_minute: Option<NonZeroU32>,
}

/// Who calls, for whom.
#[derive(Clone, Copy)]
pub(crate) struct Counted<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) user: Option<&'a UserId>,
    pub(crate) service: &'a ServiceId,
}

/// One layer: how many calls of a kind a part of a tenant's callers may make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layer {
    /// The kind of calls that it counts.
    pub(super) kind: LimitKind,
    /// The limit that an administrator raises.
    pub(super) limit: LimitKind,
    pub(super) of: LimitSubject,
    /// How many calls it may make in a second or minute.
    pub(super) most: u64,
    /// How many of them may come at once.
    pub(super) burst: u64,
}

impl Layer {
    fn new(kind: LimitKind, of: LimitSubject, most: u64) -> Self {
        Self { kind, limit: kind, of, most, burst: most }
    }

    pub(super) fn rate(&self) -> Rate {
        let minute = matches!(
            self.kind,
            LimitKind::ExchangesPerMinute | LimitKind::RefreshesPerMinute | LimitKind::TestsPerMinute
        );
        Rate::new(self.most, Duration::from_secs(if minute { 60 } else { 1 }), self.burst)
    }

    /// What tells its buckets from those of other layers.
    pub(super) fn name(&self) -> (&'static str, &'static str) {
        (self.kind.as_str(), self.of.as_str())
    }

    pub(super) fn exceeded(&self, retry: Duration) -> Exceeded {
        Exceeded { limit: self.limit, of: self.of, most: self.most, retry }
    }

    /// The layer as the database counts it.
    pub(super) fn row(&self, counted: Counted<'_>) -> RateLayer {
        let subject = match (self.of, counted.user) {
            (LimitSubject::Service, _) => format!("service:{}", counted.service),
            (LimitSubject::User, Some(user)) => format!("user:{user}"),
            (LimitSubject::User, None) | (LimitSubject::Tenant, _) => String::new(),
        };
        RateLayer { subject, per_minute: self.most }
    }
}

/// The layers at which a call counts that are limited.
pub(super) fn layers<'a>(
    settings: &'a RateSettings,
    values: &'a LimitValues,
    kind: LimitKind,
    counted: Counted<'a>,
) -> impl Iterator<Item = Layer> + 'a {
    let (user_share, service_share) = (LimitKind::UserSharePercent, LimitKind::ServiceSharePercent);
    let user = counted.user.and_then(|_| share(values, kind, LimitSubject::User, user_share));
    let own = of_service(settings, values).filter(|_| kind == LimitKind::CallsPerSecond);
    let service = own.or_else(|| share(values, kind, LimitSubject::Service, service_share));
    [user, service, of_tenant(values, kind)].into_iter().flatten()
}

/// The layer of a tenant as a whole.
pub(super) fn of_tenant(values: &LimitValues, kind: LimitKind) -> Option<Layer> {
    let most = values.of(kind);
    (most > 0).then(|| Layer::new(kind, LimitSubject::Tenant, most))
}

/// The part of a tenant's rate that a user or a service can have: one call at least.
fn share(values: &LimitValues, kind: LimitKind, of: LimitSubject, percent: LimitKind) -> Option<Layer> {
    let most = of_tenant(values, kind)?.most;
    Some(Layer::new(kind, of, (most.saturating_mul(values.of(percent)) / 100).max(1)))
}

/// The rate that services have by themselves, whatever the tenant's is. Where a tenant has another one than the deployment,
/// its burst grows and shrinks with it.
pub(super) fn of_service(settings: &RateSettings, values: &LimitValues) -> Option<Layer> {
    let kind = LimitKind::ServiceCallsPerSecond;
    let (most, usual) = (values.of(kind), settings.defaults.of(kind).max(1));
    let burst = settings.service_burst.map_or(usual, |burst| u64::from(NonZeroU32::get(burst)));
    let burst = (most.saturating_mul(burst) / usual).max(1);
    let layer = Layer::new(LimitKind::CallsPerSecond, LimitSubject::Service, most);
    (most > 0).then_some(Layer { limit: kind, burst, ..layer })
}
