//! Requests about the connections of a tenant, of all its users, into domain types.

use credvault_domain::{AccountName, AuthMode, ConnectionId, HealthState, ProviderId, Timestamp, Violations};
use credvault_operations::tenants::{BulkChange, ChangeKind, CountedTenants};
use credvault_store::{ConnectionFilter, OutcomeFilter};
use prost_types::Timestamp as WireTimestamp;

use super::connection::{connection_state, health_state};
use super::{optional, optional_tenant_id, owner, timestamp};
use credvault_proto::v1;

/// How many ids a selection has at most.
const MAX_IDS: usize = 100;
/// How many days success rates are about if a request does not say.
const DEFAULT_DAYS: u32 = 30;
/// How many days they are about at most.
const MAX_DAYS: i32 = 400;
/// How many days are shown one by one at most.
const MAX_SINGLE_DAYS: i32 = 31;
/// How many connections one call changes at most.
pub(super) const MAX_CHANGES: i32 = 100;

pub(crate) fn connection_selection(
    selection: Option<v1::ConnectionSelection>,
    show_deleted: bool,
) -> Result<(ConnectionFilter, Option<HealthState>), Violations> {
    let v1::ConnectionSelection {
        ids,
        owner: named,
        provider,
        auth_mode,
        account_name,
        state,
        enabled,
        created_before,
        created_since,
        unused_since,
        health,
        ends_before,
    } = selection.unwrap_or_default();
    let mut violations = Violations::default();
    let owned = named.is_some();
    let owner = violations.collect(owner(named)).flatten();
    if owned && owner.is_none() && violations.is_empty() {
        violations.add("selection.owner.kind", "must be given in a selection; leave owner out for all");
    }
    let provider = optional("selection.provider", &provider, ProviderId::parse);
    let account_name = optional("selection.account_name", &account_name, AccountName::parse);
    let auth_mode = optional("selection.auth_mode", &auth_mode, AuthMode::parse);
    let filter = ConnectionFilter {
        owner,
        provider: violations.collect(provider).flatten(),
        providers: Vec::new(),
        account_name: violations.collect(account_name).flatten(),
        auth_mode: violations.collect(auth_mode).flatten(),
        state: violations.collect(connection_state(state)).flatten(),
        ids: violations.collect(connection_ids(&ids)).unwrap_or_default(),
        enabled,
        created_before: time(&mut violations, "selection.created_before", created_before),
        created_since: time(&mut violations, "selection.created_since", created_since),
        unused_since: time(&mut violations, "selection.unused_since", unused_since),
        ends_before: time(&mut violations, "selection.ends_before", ends_before),
        rotation_due_before: None,
        health: None,
        show_deleted,
    };
    let health = violations.collect(health_state(health)).flatten();
    violations.into_result().map(|()| (filter, health))
}

fn time(violations: &mut Violations, field: &str, time: Option<WireTimestamp>) -> Option<Timestamp> {
    time.and_then(|time| violations.collect(timestamp(field, time)))
}

fn connection_ids(ids: &[String]) -> Result<Vec<ConnectionId>, Violations> {
    let parsed: Option<Vec<_>> = ids.iter().map(|id| id.parse().ok()).collect();
    parsed
        .filter(|ids| ids.len() <= MAX_IDS)
        .ok_or_else(|| Violations::of("selection.ids", "must be at most 100 ids of connections, each a UUID"))
}

pub(crate) fn bulk_change(request: &v1::ChangeTenantConnectionsRequest) -> Result<BulkChange, Violations> {
    let mut violations = Violations::default();
    if request.selection.is_none() {
        violations.add("selection", "must be given; an empty one means all of the tenant's connections");
    }
    let kind = violations.collect(change_kind(request.kind));
    let filter = violations.collect(connection_selection(request.selection.clone(), false));
    match kind.zip(filter).filter(|_| violations.is_empty()) {
        Some((kind, (filter, health))) => Ok(BulkChange { kind, filter, health, dry_run: request.dry_run }),
        None => Err(violations),
    }
}

fn change_kind(kind: i32) -> Result<ChangeKind, Violations> {
    let wrong = || Violations::of("kind", "must be one of the kinds that the protos name");
    match v1::ConnectionChangeKind::try_from(kind).map_err(|_| wrong())? {
        v1::ConnectionChangeKind::Unspecified => Err(wrong()),
        v1::ConnectionChangeKind::Disable => Ok(ChangeKind::Disable),
        v1::ConnectionChangeKind::Enable => Ok(ChangeKind::Enable),
        v1::ConnectionChangeKind::Disconnect => Ok(ChangeKind::Disconnect),
        v1::ConnectionChangeKind::Refresh => Ok(ChangeKind::Refresh),
        v1::ConnectionChangeKind::Test => Ok(ChangeKind::Test),
    }
}

pub(crate) fn counted_tenants(request: &v1::CountConnectionsRequest) -> Result<CountedTenants, Violations> {
    match (optional_tenant_id(&request.tenant_id)?, request.all_tenants) {
        (None, true) => Ok(CountedTenants::All),
        (Some(_), true) => {
            Err(Violations::of("tenant_id", "must be left out where all_tenants is set, or leave that out"))
        }
        (tenant, false) => Ok(CountedTenants::One(tenant)),
    }
}

pub(crate) fn outcome_filter(request: &v1::GetSuccessRatesRequest) -> Result<OutcomeFilter, Violations> {
    let provider = optional("provider", &request.provider, ProviderId::parse)?;
    let max = if request.by_day { MAX_SINGLE_DAYS } else { MAX_DAYS };
    let days = match request.days {
        0 => DEFAULT_DAYS,
        days if (1..=max).contains(&days) => days.unsigned_abs(),
        _ => return Err(Violations::of("days", "must be 0 to 400, or to 31 with by_day; 0 means 30")),
    };
    Ok(OutcomeFilter { provider, days, by_day: request.by_day })
}
