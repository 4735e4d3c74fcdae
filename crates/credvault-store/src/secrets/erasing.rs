//! Removing what an erased tenant has in external stores.

use std::collections::BTreeSet;
use std::time::Duration;

use credvault_domain::{ConnectionId, TenantId};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::{failed, payloads};
use crate::database::pieces::PIECE;
use crate::entity::external_payload::{Column, Entity};
use crate::{Error, Store};

/// How long a put may be on its way: longer than any time-out of a store, with some for a process that stood still.
const ON_ITS_WAY: Duration = Duration::from_secs(300);

impl Store {
    /// Has stores forget a piece of what they keep of an erased tenant, and tells how many payloads that were. Its keys are
    /// destroyed by then, so nothing of it opens in any case.
    ///
    /// # Errors
    /// A store or the database fails; the rows stay, and say what is left.
    pub(crate) async fn erase_payloads(&self, tenant: &TenantId) -> Result<u64, Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        // What may still be on its way to a store would arrive after it has forgotten the connection. Its row keeps the
        // erasure open.
        let arrived = Condition::any()
            .add(Column::Reference.is_not_null())
            .add(Column::CreateTime.lte(self.now().before(ON_ITS_WAY).micros()));
        let rows = Entity::find()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(arrived)
            .order_by_asc(Column::ConnectionId)
            .limit(PIECE)
            .all(&tx)
            .await?;
        tx.rollback().await?;
        let places: BTreeSet<_> = rows.iter().map(|row| (row.store.as_str(), row.connection_id)).collect();
        for (name, connection) in places {
            let connection = ConnectionId::from_uuid(connection).to_string();
            self.secret_store(name)?.forget(&connection).await.map_err(failed(name))?;
        }
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let tx = self.begin_bookkeeping(tenant).await?;
        payloads::forget(&tx, tenant, &ids).await?;
        tx.commit().await?;
        Ok(ids.len().try_into().unwrap_or(u64::MAX))
    }
}
