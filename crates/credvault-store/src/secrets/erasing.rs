//! Removing what an erased tenant has in external stores.

use std::collections::BTreeSet;
use std::time::Duration;

use credvault_domain::{ConnectionId, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::failed;
use super::payloads::REMOVED;
use crate::database::pieces::PIECE;
use crate::entity::erasure;
use crate::entity::external_payload::{Column, Entity, Model};
use crate::erasures::record::{ErasedStore, with_store};
use crate::{Error, Store};

/// How long a put may be on its way: longer than any time-out of a store, with some for a process that stood still.
const ON_ITS_WAY: Duration = Duration::from_secs(300);

impl Store {
    /// Has each store forget a piece of what it keeps of an erased tenant, and tells how many payloads that were. The tenant's
    /// keys are destroyed by then, so nothing of it opens in any case.
    ///
    /// # Errors
    /// No store has removed anything, and one of them or the database fails; the rows stay, and say what is left.
    pub(crate) async fn erase_payloads(&self, tenant: &TenantId) -> Result<u64, Error> {
        let (mut erased, mut first) = (0, None);
        for name in self.stores_of(tenant).await? {
            match self.erase_in(tenant, &name).await {
                Ok(rows) => erased += rows,
                // One that is away or lost must not keep what others have.
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(error) if erased == 0 => Err(error),
            Some(_) | None => Ok(erased),
        }
    }

    /// The stores that still have payloads of a tenant.
    pub(crate) async fn stores_of(&self, tenant: &TenantId) -> Result<Vec<String>, Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        let stores = Entity::find()
            .select_only()
            .column(Column::Store)
            .distinct()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .order_by_asc(Column::Store)
            .into_tuple()
            .all(&tx)
            .await?;
        tx.rollback().await?;
        Ok(stores)
    }

    async fn erase_in(&self, tenant: &TenantId, name: &str) -> Result<u64, Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        // What may still be on its way to a store would arrive after it has forgotten the connection. Its row keeps the
        // erasure open.
        let arrived = Condition::any()
            .add(Column::Reference.is_not_null())
            .add(Column::CreateTime.lte(self.now().before(ON_ITS_WAY).micros()));
        let rows = Entity::find()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::Store.eq(name))
            .filter(arrived)
            .order_by_asc(Column::ConnectionId)
            .limit(PIECE)
            .all(&tx)
            .await?;
        tx.rollback().await?;
        let (given_up, kept): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.write_off_time.is_some());
        let connections: BTreeSet<_> = kept.iter().map(|row| row.connection_id).collect();
        if !connections.is_empty() {
            let store = self.store_to_remove_from(name).await?;
            for connection in connections {
                let connection = ConnectionId::from_uuid(connection).to_string();
                store.forget(&connection).await.map_err(failed(name))?;
            }
        }
        let tx = self.begin_bookkeeping(tenant).await?;
        let row = erasure::Entity::find_by_id(tenant.as_str()).lock_exclusive().one(&tx).await?;
        // Another replica may have removed the same ones; each row counts where it goes.
        let is_removed = |row: &Model| row.reference.as_deref() == Some(REMOVED);
        let (empty, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(is_removed);
        let (emptied, given_up): (Vec<_>, Vec<_>) = given_up.into_iter().partition(is_removed);
        let forgotten = delete(&tx, tenant, empty.iter().chain(&emptied).map(|row| row.id)).await?;
        let removed = delete(&tx, tenant, kept.iter().map(|row| row.id)).await?;
        let written_off = delete(&tx, tenant, given_up.iter().map(|row| row.id)).await?;
        if let Some(row) = row.filter(|_| removed + written_off > 0) {
            let more = ErasedStore { store: name.to_owned(), removed, written_off };
            let stores = with_store(row.stores.as_deref(), more)?;
            let mut row = row.into_active_model();
            row.stores = Set(Some(stores));
            row.update(&tx).await?;
        }
        tx.commit().await?;
        Ok(forgotten + removed + written_off)
    }
}

async fn delete(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    payloads: impl Iterator<Item = Uuid>,
) -> Result<u64, Error> {
    let these =
        Entity::delete_many().filter(Column::TenantId.eq(tenant.as_str())).filter(Column::Id.is_in(payloads));
    Ok(these.exec(tx).await?.rows_affected)
}
