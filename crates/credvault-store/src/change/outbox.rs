//! The outbox: an event is written, once for each endpoint that wants it, in the transaction of the change that it tells
//! of. So no crash loses one, and a change that was rolled back sends none. `docs/events.md` says what is in an event.

use credvault_domain::{
    ConnectionId, DeliveryState, EventId, EventType, ProviderId, ServiceConfig, ServiceMapping, TenantId,
    Timestamp, UserId, Version,
};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::connections::row::owner;
use crate::database::transaction::set_tenant;
use crate::entity::connection;
use crate::events::lifetime::{DEAD_MEMORY, DELIVERY_LIFETIME, FULL_FAILURE, is_full};
use crate::{Database, Error, Store};

/// An event that the transaction of its change will queue.
pub(crate) struct NewEvent {
    kind: EventType,
    data: Value,
    user: Option<UserId>,
    /// Whether that user is being deleted, so that nothing of the event is kept once it is sent.
    user_deleted: bool,
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
            "provider_code": model.error_code,
            "version": model.current_version,
        });
        Self { kind, data, user: owner.user().cloned(), user_deleted: false }
    }

    /// A credential version was stored (or else destroyed).
    pub(crate) fn credential(model: &connection::Model, version: Version, stored: bool) -> Self {
        let mut event = Self::of(EventType::CredentialChanged, model);
        event.data["change"] = json!(if stored { "STORED" } else { "DESTROYED" });
        event.data["version"] = json!(version);
        event
    }

    /// The connection's grant or key ends at `end`, in about so many days.
    pub(crate) fn expiring(model: &connection::Model, end: Timestamp, days: u32) -> Result<Self, Error> {
        let mut event = Self::of(EventType::Expiring, model);
        event.data["grant_end_time"] = json!(rfc3339(end)?);
        event.data["days"] = json!(days);
        Ok(event)
    }

    /// The connection's credential is to be replaced at `due`, in about so many days.
    pub(crate) fn rotation_due(model: &connection::Model, due: Timestamp, days: u32) -> Result<Self, Error> {
        let mut event = Self::of(EventType::RotationDue, model);
        event.data["rotation_due_time"] = json!(rfc3339(due)?);
        event.data["days"] = json!(days);
        Ok(event)
    }

    /// A provider has an incident since then, or had one.
    pub(crate) fn incident(kind: EventType, provider: &ProviderId, since: Timestamp) -> Result<Self, Error> {
        let data = json!({ "provider": provider.as_str(), "since": rfc3339(since)? });
        Ok(Self { kind, data, user: None, user_deleted: false })
    }

    /// The connection was deleted, with whatever state it had.
    pub(crate) fn deleted(model: &connection::Model) -> Self {
        let mut event = Self::of(EventType::Disconnected, model);
        event.data["state"] = json!("DELETED");
        event
    }

    /// The config of a service was set (or else deleted). Its settings stay out: they are the service's own affair.
    pub(crate) fn service_config(tenant: &TenantId, config: &ServiceConfig, set: bool) -> Self {
        let mapping = |mapping: &ServiceMapping| {
            json!({
                "mapping": mapping.name.as_str(),
                "connection_id": mapping.connection.to_string(),
                "provider": mapping.provider.as_str(),
            })
        };
        let (owner, user) = (config.owner.kind(), config.owner.user());
        let data = json!({
            "tenant_id": tenant.as_str(),
            "service": config.service.as_str(),
            "owner": { "kind": owner, "user_id": user.map(|user| user.as_str()) },
            "enabled": config.enabled,
            "change": if set { "SET" } else { "DELETED" },
            "mappings": config.mappings.iter().map(mapping).collect::<Vec<_>>(),
        });
        Self { kind: EventType::ServiceConfigChanged, data, user: user.cloned(), user_deleted: false }
    }

    /// The config went with its user.
    pub(crate) fn config_of_deleted_user(tenant: &TenantId, config: &ServiceConfig) -> Self {
        Self { user_deleted: true, ..Self::service_config(tenant, config, false) }
    }

    /// The connection went with its user.
    pub(crate) fn user_deleted(model: &connection::Model) -> Self {
        Self { user_deleted: true, ..Self::deleted(model) }
    }
}

/// The body of an event, byte for byte as it is sent.
pub(crate) fn body(kind: &str, time: Timestamp, data: &Value) -> Result<String, Error> {
    Ok(json!({ "type": kind, "timestamp": rfc3339(time)?, "data": data }).to_string())
}

/// An instant as RFC 3339 writes it, in UTC.
pub(crate) fn rfc3339(time: Timestamp) -> Result<String, Error> {
    let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.micros()) * 1000);
    instant.ok().and_then(|instant| instant.format(&Rfc3339).ok()).ok_or(Error::Integrity)
}

/// Writes what is to be sent of a tenant's events: to its own endpoints, and to the platform's, each in its namespace. Where as
/// many wait as may, the event is dead at once. The transaction works for the tenant before and after.
pub(super) async fn queue(
    store: &Store,
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    now: Timestamp,
    events: &[NewEvent],
) -> Result<(), Error> {
    let mut written = Vec::new();
    for event in events {
        let id = EventId::from_uuid(store.new_id()?);
        written.push((id, event, body(event.kind.as_str(), now, &event.data)?));
    }
    if written.is_empty() {
        return Ok(());
    }
    write_in(store.database(), tx, tenant, tenant, now, &written).await?;
    if !tenant.is_platform() {
        let platform = TenantId::platform();
        set_tenant(tx, store.database(), &platform).await?;
        write_in(store.database(), tx, &platform, tenant, now, &written).await?;
        set_tenant(tx, store.database(), tenant).await?;
    }
    Ok(())
}

async fn write_in(
    database: Database,
    tx: &DatabaseTransaction,
    namespace: &TenantId,
    tenant: &TenantId,
    now: Timestamp,
    events: &[(EventId, &NewEvent, String)],
) -> Result<(), Error> {
    // Without an endpoint, many events are not worth a statement each.
    let any = "SELECT 1 FROM event_endpoints WHERE tenant_id = $1 AND enabled LIMIT 1";
    let any = Statement::from_sql_and_values(tx.get_database_backend(), any, [namespace.as_str().into()]);
    if events.len() > 1 && tx.query_one_raw(any).await?.is_none() {
        return Ok(());
    }
    // Held until the end, so that an endpoint which is deleted meanwhile cannot make the change fail.
    let held = if database == Database::Postgres { " FOR KEY SHARE OF e" } else { "" };
    let is_full = is_full("e.tenant_id", "e.id");
    let sql = format!(
        "INSERT INTO event_deliveries
            (tenant_id, endpoint_id, event_id, type, body, state, attempts, due_time, failure, expire_time, create_time,
             about_tenant, about_user, user_deleted)
         SELECT e.tenant_id, e.id, $2, $3, $4, CASE WHEN is_full THEN 'DEAD' ELSE 'PENDING' END, 0,
             CASE WHEN is_full THEN NULL ELSE $5 END, CASE WHEN is_full THEN $11 END,
             CASE WHEN is_full THEN $10 ELSE $6 END, $5, $7, $8, $9
         FROM (
             SELECT e.tenant_id, e.id, {is_full} AS is_full FROM event_endpoints e
             WHERE e.tenant_id = $1 AND e.enabled AND (e.types = '' OR e.types LIKE '% ' || $3 || ' %'){held}
         ) e
         RETURNING state"
    );
    let mut dead = 0;
    for (id, event, body) in events {
        let values = [
            namespace.as_str().into(),
            id.as_uuid().into(),
            event.kind.as_str().into(),
            body.as_str().into(),
            now.micros().into(),
            now.after(DELIVERY_LIFETIME).micros().into(),
            tenant.as_str().into(),
            event.user.as_ref().map(|user| user.as_str().to_owned()).into(),
            event.user_deleted.into(),
            if event.user_deleted { now } else { now.after(DEAD_MEMORY) }.micros().into(),
            FULL_FAILURE.into(),
        ];
        let written = Statement::from_sql_and_values(tx.get_database_backend(), &sql, values);
        for row in tx.query_all_raw(written).await? {
            dead += u64::from(row.try_get::<String>("", "state")? == DeliveryState::Dead.as_str());
        }
    }
    metrics::counter!("credvault_event_deliveries_total", "outcome" => "dead").increment(dead);
    Ok(())
}
