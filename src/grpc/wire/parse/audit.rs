//! Queries of the audit log into domain types.

use std::net::IpAddr;

use credvault_domain::{
    Action, AuditOutcome, NameError, ProviderId, Purpose, Reason, ServiceId, TenantSource, TraceId, UserId,
    Violations,
};
use credvault_store::{AuditFilter, AuditGroup};
use prost_types::Timestamp as WireTimestamp;

use super::{optional, timestamp};
use credvault_proto::v1;

/// How many columns a summary groups by at most.
const MAX_GROUPS: usize = 4;

pub(crate) fn audit_filter(filter: Option<v1::AuditFilter>) -> Result<AuditFilter, Violations> {
    let Some(filter) = filter else { return Ok(AuditFilter::default()) };
    let v1::AuditFilter {
        start_time,
        end_time,
        service,
        user_id,
        action,
        connection_id,
        outcome,
        provider,
        reason,
        purpose,
        tenant_source,
        source_address,
        trace_id,
        owner_user_id,
    } = filter;
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
        reason: violations.collect(optional("filter.reason", &reason, audit_reason)).flatten(),
        purpose: violations.collect(optional("filter.purpose", &purpose, Purpose::parse)).flatten(),
        tenant_source: violations
            .collect(optional("filter.tenant_source", &tenant_source, audit_source))
            .flatten(),
        source_address: violations
            .collect(optional("filter.source_address", &source_address, audit_address))
            .flatten(),
        trace: violations.collect(optional("filter.trace_id", &trace_id, TraceId::parse)).flatten(),
        owner_user: violations
            .collect(optional("filter.owner_user_id", &owner_user_id, UserId::parse))
            .flatten(),
    };
    violations.into_result().map(|()| parsed)
}

fn audit_reason(text: &str) -> Result<Reason, NameError> {
    Reason::from_stored(text)
        .ok_or(NameError("must be a reason of the vault's errors, in capitals, such as POLICY_DENIED"))
}

fn audit_source(text: &str) -> Result<TenantSource, NameError> {
    TenantSource::from_stored(text)
        .ok_or(NameError("must be token, assertion, header, state, session or none"))
}

/// The address as records have it: an IPv4 address that was written as an IPv6 one is an IPv4 address.
fn audit_address(text: &str) -> Result<IpAddr, NameError> {
    let rule = NameError("must be one IP address, such as 192.0.2.7 or 2001:db8::7, and no range");
    text.parse().map(|address: IpAddr| address.to_canonical()).map_err(|_| rule)
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
        v1::AuditGroup::Purpose => Some(AuditGroup::Purpose),
        v1::AuditGroup::TenantSource => Some(AuditGroup::TenantSource),
        v1::AuditGroup::SourceAddress => Some(AuditGroup::SourceAddress),
    }
}
