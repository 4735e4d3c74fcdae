//! What the audit log holds, as responses.

use credvault_domain::{AuditOutcome, TenantId};
use credvault_store::{AuditGroup, AuditRecord, AuditSummary};

use super::timestamp;
use credvault_proto::v1;

pub(crate) fn audit_event(record: AuditRecord) -> v1::AuditEvent {
    let AuditRecord {
        id,
        tenant,
        index,
        time,
        service,
        user,
        tenant_source,
        action,
        connection,
        owner_user,
        provider,
        version,
        purpose,
        changed,
        released,
        outcome,
        reason,
        policies,
        trace,
        source_address,
    } = record;
    let outcome = match outcome {
        AuditOutcome::Ok => v1::AuditOutcome::Ok,
        AuditOutcome::Denied => v1::AuditOutcome::Denied,
        AuditOutcome::Failed => v1::AuditOutcome::Failed,
    };
    v1::AuditEvent {
        id: id.to_string(),
        tenant_id: if tenant == TenantId::PLATFORM { String::new() } else { tenant },
        index,
        time: Some(timestamp(time)),
        service: service.unwrap_or_default(),
        user_id: user.unwrap_or_default(),
        tenant_source,
        action,
        connection_id: connection.map(|id| id.to_string()).unwrap_or_default(),
        owner_user_id: owner_user.unwrap_or_default(),
        provider: provider.unwrap_or_default(),
        version: version.unwrap_or(0),
        purpose: purpose.unwrap_or_default(),
        changed_fields: changed,
        released_fields: released,
        outcome: outcome.into(),
        reason: reason.unwrap_or_default(),
        policies,
        trace_id: trace,
        source_address: source_address.unwrap_or_default(),
    }
}

pub(crate) fn audit_summary(groups: &[AuditGroup], summary: AuditSummary) -> v1::AuditSummary {
    let AuditSummary { keys, count, first_time, last_time } = summary;
    let key = |(group, key): (&AuditGroup, String)| {
        if matches!(group, AuditGroup::Day) { day(&key).unwrap_or(key) } else { key }
    };
    v1::AuditSummary {
        keys: groups.iter().zip(keys).map(key).collect(),
        count,
        first_time: Some(timestamp(first_time)),
        last_time: Some(timestamp(last_time)),
    }
}

/// Days since 1970-01-01 as a date.
fn day(days: &str) -> Option<String> {
    let days: i64 = days.parse().ok()?;
    let date = time::OffsetDateTime::from_unix_timestamp(days.checked_mul(86_400)?).ok()?.date();
    Some(date.to_string())
}
