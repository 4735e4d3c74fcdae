//! Queries of the audit log into domain types.

use credvault_domain::{Action, AuditOutcome, NameError, ProviderId, ServiceId, UserId, Violations};
use credvault_store::{AuditFilter, AuditGroup};
use prost_types::Timestamp as WireTimestamp;

use super::{optional, timestamp};
use credvault_proto::v1;

/// How many columns a summary groups by at most.
const MAX_GROUPS: usize = 4;

pub(crate) fn audit_filter(filter: Option<v1::AuditFilter>) -> Result<AuditFilter, Violations> {
    let Some(filter) = filter else { return Ok(AuditFilter::default()) };
    let v1::AuditFilter { start_time, end_time, service, user_id, action, connection_id, outcome, provider } =
        filter;
    let mut violations = Violations::default();
    let mut time = |field: &str, time: Option<WireTimestamp>| {
        time.and_then(|time| violations.collect(timestamp(field, time)))
    };
    let (start_time, end_time) = (time("filter.start_time", start_time), time("filter.end_time", end_time));
    let service_id = |text: &str| match text {
        ServiceId::VAULT => Ok(ServiceId::vault()),
        text => ServiceId::parse(text)
            .map_err(|_| NameError("must be a SPIFFE ID, spiffe://domain/path, or `vault`")),
    };
    let rpc = |text: &str| Action::from_stored(text).ok_or(NameError("must be the name of an RPC"));
    let parsed = AuditFilter {
        start_time,
        end_time,
        service: violations.collect(optional("filter.service", &service, service_id)).flatten(),
        user: violations.collect(optional("filter.user_id", &user_id, UserId::parse)).flatten(),
        action: violations.collect(optional("filter.action", &action, rpc)).flatten(),
        connection: violations
            .collect(optional("filter.connection_id", &connection_id, str::parse))
            .flatten(),
        provider: violations.collect(optional("filter.provider", &provider, ProviderId::parse)).flatten(),
        outcome: violations.collect(audit_outcome(outcome)).flatten(),
    };
    violations.into_result().map(|()| parsed)
}

fn audit_outcome(outcome: i32) -> Result<Option<AuditOutcome>, Violations> {
    let unknown = |_| Violations::of("filter.outcome", "must be one of the outcomes that the protos name");
    Ok(match v1::AuditOutcome::try_from(outcome).map_err(unknown)? {
        v1::AuditOutcome::Unspecified => None,
        v1::AuditOutcome::Ok => Some(AuditOutcome::Ok),
        v1::AuditOutcome::Denied => Some(AuditOutcome::Denied),
        v1::AuditOutcome::Failed => Some(AuditOutcome::Failed),
    })
}

pub(crate) fn audit_groups(groups: &[i32]) -> Result<Vec<AuditGroup>, Violations> {
    let parsed: Option<Vec<_>> = groups.iter().map(|group| audit_group(*group)).collect();
    let unique = |groups: &Vec<AuditGroup>| {
        (1..=MAX_GROUPS).contains(&groups.len())
            && groups.iter().enumerate().all(|(i, group)| !groups[..i].contains(group))
    };
    parsed.filter(unique).ok_or_else(|| {
        Violations::of("group_by", "must have 1 to 4 of the groups that the protos name, each once")
    })
}

fn audit_group(group: i32) -> Option<AuditGroup> {
    match v1::AuditGroup::try_from(group).ok()? {
        v1::AuditGroup::Unspecified => None,
        v1::AuditGroup::Service => Some(AuditGroup::Service),
        v1::AuditGroup::User => Some(AuditGroup::User),
        v1::AuditGroup::Action => Some(AuditGroup::Action),
        v1::AuditGroup::Connection => Some(AuditGroup::Connection),
        v1::AuditGroup::Provider => Some(AuditGroup::Provider),
        v1::AuditGroup::Outcome => Some(AuditGroup::Outcome),
        v1::AuditGroup::Reason => Some(AuditGroup::Reason),
        v1::AuditGroup::Day => Some(AuditGroup::Day),
    }
}
