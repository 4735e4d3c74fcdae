//! The table of payloads in external stores. A row is there before its payload is, and goes after it: so no crash leaves a
//! payload that the vault does not know of. And the queue of connections whose payloads are to be looked at.

use credvault_domain::{ConnectionId, TenantId, Timestamp};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, Statement,
};
use uuid::Uuid;

use crate::change::Change;
use crate::entity::external_payload::{ActiveModel, Column, Entity};
use crate::entity::payload_work;
use crate::secrets::content::SecretContent;
use crate::{Error, Store};

/// How long a put may take until its row counts as left behind.
pub(crate) const PUT_TIME: std::time::Duration = std::time::Duration::from_secs(3600);

/// Writes the row of a payload that will be put, and has the connection looked at when the put must have ended.
pub(crate) async fn begin(
    store: &Store,
    tenant: &TenantId,
    connection: ConnectionId,
    (payload, name): (Uuid, &str),
) -> Result<(), Error> {
    let tx = store.begin_bookkeeping(tenant).await?;
    let row = ActiveModel {
        tenant_id: Set(tenant.as_str().to_owned()),
        id: Set(payload),
        connection_id: Set(connection.as_uuid()),
        store: Set(name.to_owned()),
        reference: Set(None),
        create_time: Set(store.now().micros()),
        drop_time: Set(None),
        write_off_time: Set(None),
    };
    Entity::insert(row).exec_without_returning(&tx).await?;
    // Not as new work: a process that tends the connection puts, too, and must be able to end its turn.
    queue(&tx, tenant, connection, (store.now().after(PUT_TIME), 0)).await?;
    Ok(tx.commit().await?)
}

/// Notes where a payload is that a record refers to from this transaction on.
///
/// # Errors
/// [`Error::Conflict`] if its row is gone: the put took so long that it counted as left behind.
pub(crate) async fn refer(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    content: &SecretContent,
) -> Result<(), Error> {
    let SecretContent::Placed(placement) = content else { return Ok(()) };
    let updated = Entity::update_many()
        .col_expr(Column::Reference, Expr::value(placement.reference.as_str()))
        .col_expr(Column::DropTime, Expr::value(None::<i64>))
        .filter(Column::TenantId.eq(tenant.as_str()))
        .filter(Column::Id.eq(placement.payload))
        .exec(tx)
        .await?;
    if updated.rows_affected == 1 { Ok(()) } else { Err(Error::Conflict) }
}

/// Has a connection looked at: what is in the wrong place is moved, and what no record refers to any more is removed.
pub(crate) async fn look_at(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    connection: ConnectionId,
    due: Timestamp,
) -> Result<(), Error> {
    queue(tx, tenant, connection, (due, 1)).await
}

/// Puts a connection into the queue, or has it due earlier; `times` is how often that counts.
async fn queue(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    connection: ConnectionId,
    (due, times): (Timestamp, i64),
) -> Result<(), Error> {
    use payload_work::{ActiveModel, Column, Entity};
    let row = ActiveModel {
        tenant_id: Set(tenant.as_str().to_owned()),
        connection_id: Set(connection.as_uuid()),
        due_time: Set(due.micros()),
        times: Set(1),
        lease_time: Set(None),
    };
    // The earlier of both times counts.
    let earlier = Expr::cust(
        "CASE WHEN excluded.due_time < payload_work.due_time THEN excluded.due_time ELSE payload_work.due_time END",
    );
    let conflict = OnConflict::columns([Column::TenantId, Column::ConnectionId])
        .value(Column::DueTime, earlier)
        .value(Column::Times, Expr::cust(format!("payload_work.times + {times}")))
        .to_owned();
    Entity::insert(row).on_conflict(conflict).exec_without_returning(tx).await?;
    Ok(())
}

/// Has the connection's secrets looked at after this change, where there are external stores: one may have to be moved
/// there, and another one removed.
pub(crate) async fn tend_later(change: &Change<'_>, id: ConnectionId) -> Result<(), Error> {
    if change.store.has_secret_stores() {
        look_at(&change.tx, change.tenant(), id, change.now).await?;
    }
    Ok(())
}

/// The payloads of a connection that no record refers to, without those that were given up with their store.
pub(crate) async fn unreferred(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    connection: ConnectionId,
) -> Result<Vec<Unreferred>, Error> {
    let each = ["credential_versions", "tokens", "revocations"].map(|table| {
        format!(
            "AND NOT EXISTS (SELECT 1 FROM {table} r WHERE r.tenant_id = p.tenant_id
                AND r.connection_id = p.connection_id AND r.payload = p.id)"
        )
    });
    let sql = format!(
        "SELECT p.id, p.store, p.reference, p.create_time, p.drop_time FROM external_payloads p
         WHERE p.tenant_id = $1 AND p.connection_id = $2 AND p.write_off_time IS NULL {}",
        each.join(" ")
    );
    let values = [tenant.as_str().into(), connection.as_uuid().into()];
    let rows =
        tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    let read = |row: &sea_orm::QueryResult| {
        Ok(Unreferred {
            id: row.try_get("", "id")?,
            store: row.try_get("", "store")?,
            reference: row.try_get("", "reference")?,
            create_time: Timestamp::from_micros(row.try_get("", "create_time")?),
            drop_time: row.try_get::<Option<i64>>("", "drop_time")?.map(Timestamp::from_micros),
        })
    };
    rows.iter().map(read).collect()
}

/// A payload that no record refers to.
pub(crate) struct Unreferred {
    pub(crate) id: Uuid,
    pub(crate) store: String,
    /// Where it is; none if the put was not confirmed.
    pub(crate) reference: Option<String>,
    pub(crate) create_time: Timestamp,
    /// When that was noticed.
    pub(crate) drop_time: Option<Timestamp>,
}

/// Notes that a payload was found without a record.
pub(crate) async fn note_dropped(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    payload: Uuid,
    now: Timestamp,
) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::DropTime, Expr::value(now.micros()))
        .filter(Column::TenantId.eq(tenant.as_str()))
        .filter(Column::Id.eq(payload))
        .exec(tx)
        .await?;
    Ok(())
}

/// Removes the rows of payloads that are not there any more.
pub(crate) async fn forget(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    payloads: &[Uuid],
) -> Result<(), Error> {
    Entity::delete_many()
        .filter(Column::TenantId.eq(tenant.as_str()))
        .filter(Column::Id.is_in(payloads.iter().copied()))
        .exec(tx)
        .await?;
    Ok(())
}
