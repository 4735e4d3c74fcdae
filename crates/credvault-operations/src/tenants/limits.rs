//! The limits of a tenant, as administrators see and set them.

use credvault_domain::{LimitKind, LimitOverrides, LimitValues, TenantId, TenantScope, Timestamp};
use credvault_identity::Facts;
use credvault_store::{QuotaUse, Recorded, TenantRules};

use crate::{Call, Context, Parsed, Refusal, Repeat};

/// A limit of a tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitState {
    /// Which limit it is.
    pub kind: LimitKind,
    /// What counts for tenants without a number of their own; 0 means no limit.
    pub default: u64,
    /// The tenant's own number, if it has one.
    pub own: Option<u64>,
    /// How much the tenant has in use, where that was counted.
    pub used: Option<u64>,
}

/// All limits of a tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitStates {
    /// Each limit once, in the order of [`LimitKind::ALL`].
    pub limits: Vec<LimitState>,
    /// When a number of the tenant's own was last set or taken away.
    pub update_time: Option<Timestamp>,
}

/// `GetTenantLimits`: every limit with what of it is in use. Rates count on this replica, or over all where the limit does.
///
/// # Errors
/// There is no such tenant, or policy does not permit it.
pub async fn limits(call: &mut Call, tenant: TenantId) -> Result<Recorded<LimitStates>, Refusal> {
    let (permit, scope) = call.administer(Some(tenant), Facts::default())?;
    let (context, rules) = (call.context.clone(), call.context.store.rules().get(&scope).await?);
    let quotas = context.store.quota_use(&scope).await?;
    let mut states = states(context.limits.defaults(), &rules);
    let values = context.limits.defaults().overridden(&rules.limits);
    for state in &mut states.limits {
        state.used = used(&context, &scope, &values, &quotas, state.kind).await?;
    }
    call.recorded(&permit, states).await
}

/// `SetTenantLimits`: gives limits of a tenant another number, or with `None` the default again. Others stay as they are.
///
/// # Errors
/// There is no such tenant, or policy does not permit it.
pub async fn set_limits(
    call: &mut Call,
    tenant: TenantId,
    limits: Parsed<Vec<(LimitKind, Option<u64>)>>,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<LimitStates>, Refusal> {
    let (permit, scope) = call.administer(Some(tenant), Facts::default())?;
    let limits = limits?;
    call.subject.changed = limits.iter().map(|(kind, _)| kind.as_str().to_owned()).collect();
    let write = call.write(&permit, repeat)?;
    let set = call.context.store.rules().set_limits(&scope, &limits, &write).await?;
    Ok(set.map(|rules| states(call.context.limits.defaults(), &rules)))
}

fn states(defaults: &LimitValues, rules: &TenantRules) -> LimitStates {
    let own: &LimitOverrides = &rules.limits;
    let state = |kind: &LimitKind| LimitState {
        kind: *kind,
        default: defaults.of(*kind),
        own: own.of(*kind),
        used: None,
    };
    LimitStates { limits: LimitKind::ALL.iter().map(state).collect(), update_time: rules.limits_time }
}

/// How much of a limit is in use; `None` for shares, which are parts of others, and for what is not limited.
async fn used(
    context: &Context,
    scope: &TenantScope,
    values: &LimitValues,
    quotas: &QuotaUse,
    kind: LimitKind,
) -> Result<Option<u64>, Refusal> {
    Ok(match kind {
        LimitKind::Connections => Some(quotas.connections),
        LimitKind::UserConnections => Some(quotas.user_connections),
        LimitKind::CredentialVersions => Some(quotas.credential_versions),
        LimitKind::ResponseBytes => match usize::try_from(values.of(kind)) {
            Ok(size @ 1..) => u64::try_from(context.tenant_rooms.taken(scope.tenant(), size)).ok(),
            Ok(0) | Err(_) => None,
        },
        LimitKind::CallsPerSecond | LimitKind::FetchesPerSecond => {
            context.limits.in_use(values, kind, scope.tenant())
        }
        LimitKind::ExchangesPerMinute | LimitKind::RefreshesPerMinute | LimitKind::TestsPerMinute => {
            match values.of(kind) {
                0 => None,
                most => Some(context.store.rate_in_use(scope, kind, most).await?),
            }
        }
        LimitKind::ServiceCallsPerSecond
        | LimitKind::UserSharePercent
        | LimitKind::ServiceSharePercent
        | LimitKind::AuditDays => None,
    })
}
