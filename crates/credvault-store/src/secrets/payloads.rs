//! The table of payloads in external stores. A row is there before its payload is, and goes after it: so no crash leaves a
//! payload that the vault does not know of. And the queue of connections whose payloads are to be looked at.

use credvault_domain::{ConnectionId, TenantId, Timestamp};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement,
};
use uuid::Uuid;

use crate::change::Change;
use crate::database::erased::is_erased;
use crate::entity::external_payload::{ActiveModel, Column, Entity};
use crate::entity::{payload_work, tenant};
use crate::secrets::content::SecretContent;
use crate::{ConnectionKey, Error, Store};

/// The reference in a row whose payload is removed, and which stays until the store has forgotten the connection.
pub(super) const REMOVED: &str = "";

/// How long a put may take until its row counts as left behind.
pub(crate) const PUT_TIME: std::time::Duration = std::time::Duration::from_secs(3600);

/// Writes the row of a payload that will be put. `by_itself` has the connection looked at when the put must have ended; a
/// process that tends the connection does so in any case.
///
/// # Errors
/// [`Error::TenantNotFound`] if the tenant was erased: what would be put then would outlive it.
pub(crate) async fn begin(
    store: &Store,
    tenant: &TenantId,
    connection: ConnectionId,
    (payload, name): (Uuid, &str),
    by_itself: bool,
) -> Result<(), Error> {
    let tx = store.begin_bookkeeping(tenant).await?;
    // A confirmation of the erasure waits for this lock, and its removal finds the row.
    tenant::Entity::find_by_id(tenant.as_str()).lock_shared().one(&tx).await?;
    if is_erased(&tx, tenant).await? {
        return Err(Error::TenantNotFound(tenant.clone()));
    }
    let now = store.now();
    let row = ActiveModel {
        tenant_id: Set(tenant.as_str().to_owned()),
        id: Set(payload),
        connection_id: Set(connection.as_uuid()),
        store: Set(name.to_owned()),
        reference: Set(None),
        create_time: Set(now.micros()),
        drop_time: Set(None),
        write_off_time: Set(None),
    };
    Entity::insert(row).exec_without_returning(&tx).await?;
    if by_itself {
        look_at(&tx, tenant, connection, now.after(PUT_TIME)).await?;
    }
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
    look_at_all(tx, tenant, &[connection], due).await
}

/// The same for many connections, each of which is given once.
pub(super) async fn look_at_all(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    connections: &[ConnectionId],
    due: Timestamp,
) -> Result<(), Error> {
    use payload_work::{ActiveModel, Column, Entity};
    let row = |connection: &ConnectionId| ActiveModel {
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
        .value(Column::Times, Expr::cust("payload_work.times + 1"))
        .to_owned();
    let rows = Entity::insert_many(connections.iter().map(row));
    rows.on_conflict(conflict).exec_without_returning(tx).await?;
    Ok(())
}

/// Has the connection's secrets looked at after this change, where there are external stores: one may have to be moved
/// there, and another one removed. A replica without stores leaves that to the others.
pub(crate) async fn tend_later(change: &Change<'_>, id: ConnectionId) -> Result<(), Error> {
    tend_all_later(change, &[id]).await
}

/// The same for many connections, each of which is given once.
pub(crate) async fn tend_all_later(change: &Change<'_>, ids: &[ConnectionId]) -> Result<(), Error> {
    if ids.is_empty() || !change.store.may_use_secret_stores() {
        return Ok(());
    }
    if change.store.secret_store_for(change.chosen_store.as_deref()).is_some() {
        return look_at_all(&change.tx, change.tenant(), ids, change.now).await;
    }
    // What the tenant has in stores from before is removed, or moved.
    let left = with_payloads(change, ids).await?;
    look_at_all(&change.tx, change.tenant(), &left, change.now).await
}

/// Those of the connections that have, or had, something in a store.
async fn with_payloads(change: &Change<'_>, ids: &[ConnectionId]) -> Result<Vec<ConnectionId>, Error> {
    let left: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::ConnectionId)
        .distinct()
        .filter(Column::TenantId.eq(change.tenant().as_str()))
        .filter(Column::ConnectionId.is_in(ids.iter().map(|id| id.as_uuid())))
        .into_tuple()
        .all(&change.tx)
        .await?;
    Ok(left.into_iter().map(ConnectionId::from_uuid).collect())
}

/// The condition that no record refers to the row `p` of `external_payloads`.
pub(super) fn without_record() -> String {
    let each = ["credential_versions", "tokens", "revocations"].map(|table| {
        format!(
            "NOT EXISTS (SELECT 1 FROM {table} r WHERE r.tenant_id = p.tenant_id
                AND r.connection_id = p.connection_id AND r.payload = p.id)"
        )
    });
    each.join(" AND ")
}

/// The payloads of a connection that no record refers to, without those that were given up with their store.
pub(crate) async fn unreferred(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    connection: ConnectionId,
) -> Result<Vec<Unreferred>, Error> {
    let sql = format!(
        "SELECT p.id, p.store, p.reference, p.create_time, p.drop_time FROM external_payloads p
         WHERE p.tenant_id = $1 AND p.connection_id = $2 AND p.write_off_time IS NULL AND {}",
        without_record()
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

impl Unreferred {
    /// Whether only the row is left, until the store has forgotten the connection.
    pub(super) fn is_removed(&self) -> bool {
        self.reference.as_deref() == Some(REMOVED)
    }

    /// Whether it may be on its way to the store. One that was given up is there.
    pub(super) fn may_be_on_its_way(&self, now: Timestamp) -> bool {
        self.reference.is_none() && self.drop_time.is_none() && self.create_time.after(PUT_TIME) > now
    }
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

/// Notes that a payload is removed. The last row of a connection and store stays: it says that the store has an empty secret
/// of the connection, which is to be forgotten with it.
pub(super) async fn note_removed(
    tx: &DatabaseTransaction,
    key: &ConnectionKey,
    (payload, store): (Uuid, &str),
    now: Timestamp,
) -> Result<(), Error> {
    // Locked, so that of the last two none takes the other for the one that stays.
    let rows = Entity::find()
        .filter(Column::TenantId.eq(key.tenant.as_str()))
        .filter(Column::ConnectionId.eq(key.connection.as_uuid()))
        .filter(Column::Store.eq(store))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(tx)
        .await?;
    if rows.iter().any(|row| row.id != payload) {
        return forget(tx, &key.tenant, &[payload]).await;
    }
    Entity::update_many()
        .col_expr(Column::Reference, Expr::value(REMOVED))
        .col_expr(Column::DropTime, Expr::value(now.micros()))
        .filter(Column::TenantId.eq(key.tenant.as_str()))
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
