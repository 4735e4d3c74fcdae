//! An audit record as a row of `audit_events`, for the two places that insert one: a change at its commit, and the writer of
//! records of calls that change nothing.

use credvault_domain::AuditEvent;
use sea_orm::ActiveValue::Set;
use serde_json::{Value, json};

use crate::entity::audit_event;

/// A record as sea-orm inserts it.
pub(crate) fn active(event: &AuditEvent) -> audit_event::ActiveModel {
    let AuditEvent {
        id,
        time,
        tenant,
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
    } = event;
    audit_event::ActiveModel {
        tenant_id: Set(tenant.as_str().to_owned()),
        id: Set(*id),
        time: Set(time.micros()),
        service: Set(service.as_ref().map(|service| service.as_str().to_owned())),
        user_id: Set(user.as_ref().map(|user| user.as_str().to_owned())),
        tenant_source: Set(tenant_source.as_str().to_owned()),
        action: Set(action.as_str().to_owned()),
        connection_id: Set(connection.map(|id| id.as_uuid())),
        provider: Set(provider.as_ref().map(|provider| provider.as_str().to_owned())),
        version: Set(*version),
        purpose: Set(purpose.as_ref().map(|purpose| purpose.as_str().to_owned())),
        changed: Set(json!(changed)),
        outcome: Set(outcome.as_str().to_owned()),
        reason: Set(reason.map(|reason| reason.as_str().to_owned())),
        policies: Set(json!(policies)),
        trace_id: Set(trace.to_string()),
        source_address: Set(source_address.map(|address| address.to_string())),
        owner_user: Set(owner_user.as_ref().map(|user| user.as_str().to_owned())),
        released: Set((!released.is_empty()).then(|| json!(released))),
    }
}

/// A record as the database function `append_audit_events` takes it.
pub(crate) fn json_row(event: &AuditEvent) -> Value {
    json!({
        "tenant_id": event.tenant.as_str(),
        "id": event.id.to_string(),
        "time": event.time.micros(),
        "service": event.service.as_ref().map(|service| service.as_str()),
        "user_id": event.user.as_ref().map(|user| user.as_str()),
        "tenant_source": event.tenant_source.as_str(),
        "action": event.action.as_str(),
        "connection_id": event.connection.map(|id| id.to_string()),
        "provider": event.provider.as_ref().map(|provider| provider.as_str()),
        "version": event.version,
        "purpose": event.purpose.as_ref().map(|purpose| purpose.as_str()),
        "changed": event.changed,
        "outcome": event.outcome.as_str(),
        "reason": event.reason.map(|reason| reason.as_str()),
        "policies": event.policies,
        "trace_id": event.trace.to_string(),
        "source_address": event.source_address.map(|address| address.to_string()),
        "owner_user": event.owner_user.as_ref().map(|user| user.as_str()),
        "released": (!event.released.is_empty()).then_some(&event.released),
    })
}
