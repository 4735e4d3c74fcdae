//! The outbox: an event is written, once for each endpoint that wants it, in the transaction of the change that it tells
//! of. So no crash loses one, and a change that was rolled back sends none. `docs/events.md` says what is in an event.

use credvault_domain::{ConnectionId, EventId, EventType, TenantId, Timestamp, Version};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::connection_row::owner;
use crate::entity::connection;
use crate::event_deliveries::PATIENCE;
use crate::session::set_tenant;
use crate::{Database, Error, Store};

/// Something to tell.
pub(crate) struct NewEvent {
    kind: EventType,
    data: Value,
}

impl NewEvent {
    /// An event about a connection as it is now. Nothing of it is secret, nor part of a secret: hints stay out.
    pub(crate) fn of(kind: EventType, model: &connection::Model) -> Self {
        let owner = owner(&model.tenant_id, &model.owner_user);
        let data = json!({
            "tenant_id": (model.tenant_id != TenantId::PLATFORM).then_some(&model.tenant_id),
            "connection_id": ConnectionId::from_uuid(model.id).to_string(),
            "provider": model.provider,
            "owner": { "kind": owner.kind(), "user_id": owner.user().map(|user| user.as_str()) },
            "account_name": model.account_name,
            "state": model.state,
            "reason": model.error_reason,
            "version": model.current_version,
        });
        Self { kind, data }
    }

    /// A credential version was stored (or else destroyed).
    pub(crate) fn credential(model: &connection::Model, version: Version, stored: bool) -> Self {
        let mut event = Self::of(EventType::CredentialChanged, model);
        event.data["change"] = json!(if stored { "STORED" } else { "DESTROYED" });
        event.data["version"] = json!(version);
        event
    }

    /// The connection was deleted, with whatever state it had.
    pub(crate) fn deleted(model: &connection::Model) -> Self {
        let mut event = Self::of(EventType::Disconnected, model);
        event.data["state"] = json!("DELETED");
        event
    }
}

/// The body of an event, byte for byte as it is sent.
pub(crate) fn body(kind: &str, time: Timestamp, data: &Value) -> Result<String, Error> {
    let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.micros()) * 1000);
    let text = instant.ok().and_then(|instant| instant.format(&Rfc3339).ok()).ok_or(Error::Integrity)?;
    Ok(json!({ "type": kind, "timestamp": text, "data": data }).to_string())
}

/// Writes what is to be sent of a tenant's events: to its own endpoints, and to the platform's, each in its space. The
/// transaction works for the tenant before and after.
pub(crate) async fn queue(
    store: &Store,
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    now: Timestamp,
    events: &[NewEvent],
) -> Result<(), Error> {
    let mut written = Vec::new();
    for event in events {
        let id = EventId::from_uuid(store.new_id()?);
        written.push((id, event.kind, body(event.kind.as_str(), now, &event.data)?));
    }
    if written.is_empty() {
        return Ok(());
    }
    write_in(store.database(), tx, tenant, now, &written).await?;
    if !tenant.is_platform() {
        let platform = TenantId::platform();
        set_tenant(tx, store.database(), &platform).await?;
        write_in(store.database(), tx, &platform, now, &written).await?;
        set_tenant(tx, store.database(), tenant).await?;
    }
    Ok(())
}

async fn write_in(
    database: Database,
    tx: &DatabaseTransaction,
    space: &TenantId,
    now: Timestamp,
    events: &[(EventId, EventType, String)],
) -> Result<(), Error> {
    // Held until the end, so that an endpoint which is deleted meanwhile cannot make the change fail.
    let held = if database == Database::Postgres { " FOR KEY SHARE OF e" } else { "" };
    let sql = format!(
        "INSERT INTO event_deliveries
            (tenant_id, endpoint_id, event_id, type, body, state, attempts, due_time, expire_time, create_time)
         SELECT e.tenant_id, e.id, $2, $3, $4, 'PENDING', 0, $5, $6, $5 FROM event_endpoints e
         WHERE e.tenant_id = $1 AND e.enabled AND (e.types = '' OR e.types LIKE '% ' || $3 || ' %'){held}"
    );
    for (id, kind, body) in events {
        let values = [
            space.as_str().into(),
            id.as_uuid().into(),
            kind.as_str().into(),
            body.as_str().into(),
            now.micros().into(),
            now.after(PATIENCE).micros().into(),
        ];
        tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), &sql, values)).await?;
    }
    Ok(())
}
