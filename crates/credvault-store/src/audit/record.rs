//! A record as lists show it, read from the log or from a row of `audit_events`.

use std::borrow::Cow;

use credvault_audit::Record;
use credvault_domain::{AuditOutcome, ConnectionId, Timestamp, TraceId, Version};
use uuid::Uuid;

use crate::Error;
use crate::entity::audit_event;

/// A record as it was stored. Names stay text: during a rolling upgrade the newer release writes names that the older
/// one does not know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRecord {
    /// A UUIDv7, which orders records by time.
    pub id: Uuid,
    /// The tenant whose log holds the record.
    pub tenant: String,
    /// The place in that log; none while the record waits for one.
    pub index: Option<i64>,
    /// When the call was decided.
    pub time: Timestamp,
    /// The calling service's SPIFFE ID.
    pub service: Option<String>,
    /// The verified user of the call.
    pub user: Option<String>,
    /// What vouched for the tenant.
    pub tenant_source: String,
    /// The RPC that was called.
    pub action: String,
    /// The connection that the call named.
    pub connection: Option<ConnectionId>,
    /// The user whose things it was about.
    pub owner_user: Option<String>,
    /// The provider of the connection.
    pub provider: Option<String>,
    /// The version returned or changed.
    pub version: Option<Version>,
    /// What the caller wanted it for.
    pub purpose: Option<String>,
    /// The names of the fields that changed.
    pub changed: Vec<String>,
    /// The names of what left the vault although it is kept inside otherwise.
    pub released: Vec<String>,
    /// Grouped by the call's outcome.
    pub outcome: AuditOutcome,
    /// Why, unless it ended well.
    pub reason: Option<String>,
    /// The policies that decided.
    pub policies: Vec<String>,
    /// The trace, in hexadecimal.
    pub trace: String,
    /// The network address of the caller.
    pub source_address: Option<String>,
}

/// A record of the log, with its place if it has one already.
///
/// # Errors
/// [`Error::Integrity`] if its outcome is none.
pub(super) fn of_log(record: Record<'_>, index: Option<i64>) -> Result<AuditRecord, Error> {
    let Record {
        id,
        time,
        trace,
        tenant,
        tenant_source,
        action,
        outcome,
        service,
        user,
        connection,
        owner_user,
        provider,
        version,
        purpose,
        reason,
        source_address,
        changed,
        released,
        policies,
    } = record;
    let text = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
    let texts = |texts: Vec<Cow<'_, str>>| texts.into_iter().map(Cow::into_owned).collect();
    Ok(AuditRecord {
        id,
        tenant: tenant.into_owned(),
        index,
        time: Timestamp::from_micros(time),
        service: text(service),
        user: text(user),
        tenant_source: tenant_source.into_owned(),
        action: action.into_owned(),
        connection: connection.map(ConnectionId::from_uuid),
        owner_user: text(owner_user),
        provider: text(provider),
        version,
        purpose: text(purpose),
        changed: texts(changed),
        released: texts(released),
        outcome: AuditOutcome::from_stored(&outcome).ok_or(Error::Integrity)?,
        reason: text(reason),
        policies: texts(policies),
        trace: TraceId::from_bytes(trace).to_string(),
        source_address: source_address.map(|address| address.to_string()),
    })
}

/// A row of `audit_events`.
///
/// # Errors
/// [`Error::Integrity`] if it was altered.
pub(super) fn of_row(model: audit_event::Model) -> Result<AuditRecord, Error> {
    let names = |json: serde_json::Value| serde_json::from_value(json).map_err(|_| Error::Integrity);
    Ok(AuditRecord {
        id: model.id,
        tenant: model.tenant_id,
        index: None,
        time: Timestamp::from_micros(model.time),
        service: model.service,
        user: model.user_id,
        tenant_source: model.tenant_source,
        action: model.action,
        connection: model.connection_id.map(ConnectionId::from_uuid),
        owner_user: model.owner_user,
        provider: model.provider,
        version: model.version,
        purpose: model.purpose,
        changed: names(model.changed)?,
        released: model.released.map_or_else(|| Ok(Vec::new()), names)?,
        outcome: AuditOutcome::from_stored(&model.outcome).ok_or(Error::Integrity)?,
        reason: model.reason,
        policies: names(model.policies)?,
        trace: model.trace_id,
        source_address: model.source_address,
    })
}
