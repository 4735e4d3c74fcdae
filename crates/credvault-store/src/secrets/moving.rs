//! Moving all secrets of a tenant to another store while the vault serves: a rotation of its own kind, whose batches look at
//! connections one after the other.

use credvault_domain::{ConnectionId, TenantId, TenantScope, chain};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, DatabaseTransaction, EntityTrait as _,
    IntoActiveModel as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::pass::Pass;
use super::{DATABASE, Secrets};
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::retrying;
use crate::database::erased::is_erased;
use crate::entity::{connection, rotation as rotation_table, tenant};
use crate::keys::Keys;
use crate::keys::rotation::{self, Claimed, NewRotation, Progress, Rotation, RotationKind};
use crate::keys::work::{Batch, batch_size};
use crate::{ConnectionKey, Error, Recorded, Write};

/// How many connections a batch has at most.
const BATCH: u64 = 16;

impl Secrets<'_> {
    /// Chooses where the secrets of the scope's tenant are kept (`database`, an external store, or none for what the
    /// deployment has chosen) and begins to move there what is elsewhere. A move in progress is replaced.
    ///
    /// # Errors
    /// This process has no such store.
    pub async fn begin_move(
        &self,
        scope: &TenantScope,
        target: Option<&str>,
        records_per_second: u32,
        write: &Write,
    ) -> Result<Recorded<Rotation>, Error> {
        if let Some(name) = target.filter(|name| *name != DATABASE) {
            self.store.secret_store(name).map_err(|_| Error::SecretStoreUnknown)?;
        }
        retrying(write, || async move {
            let (mut change, _) = self.store.change_any(scope, write).await?;
            let of = scope.tenant().clone();
            if change.prior().is_some() {
                let row = latest(&change.tx, &of).await?;
                return change.commit(rotation::rotation(row.ok_or(Error::Integrity)?)?).await;
            }
            let row = tenant::Entity::find_by_id(of.as_str()).lock_exclusive().one(&change.tx).await?;
            let row = row.ok_or_else(|| Error::TenantNotFound(of.clone()))?;
            if is_erased(&change.tx, &of).await? {
                return Err(Error::TenantNotFound(of));
            }
            let mut row = row.into_active_model();
            row.secret_store = Set(target.map(str::to_owned));
            row.update(&change.tx).await?;
            let total = connection::Entity::find()
                .filter(connection::Column::TenantId.eq(of.as_str()))
                .count(&change.tx)
                .await?;
            let earlier = latest(&change.tx, &of).await?;
            let new = NewRotation {
                kind: RotationKind::Secrets,
                // Each move has a number of its own, by which a stream knows which one it follows, and a process whether its
                // move was replaced.
                target: earlier.map_or(0, |earlier| earlier.target + 1).max(change.now.micros()),
                total: i64::try_from(total).unwrap_or(i64::MAX),
                records_per_second,
                retire_time: None,
                now: change.now,
            };
            let begun = rotation::begin(&change.tx, &of, &new).await?;
            change.record_change(ChangeSubject::Tenant, ChangeKind::Updated, None);
            change.commit(begun).await
        })
        .await
    }
}

/// The row of a tenant's latest move.
async fn latest(tx: &DatabaseTransaction, tenant: &TenantId) -> Result<Option<rotation_table::Model>, Error> {
    let key = (tenant.as_str().to_owned(), RotationKind::Secrets.as_str().to_owned());
    Ok(rotation_table::Entity::find_by_id(key).one(tx).await?)
}

impl Keys<'_> {
    /// Looks at the next connections of a move.
    pub(crate) async fn move_batch(&self, claimed: &mut Claimed) -> Result<Batch, Error> {
        let tenant = claimed.tenant.clone();
        let page = self.next_connections(&tenant, claimed).await?;
        let Some(last) = page.last() else {
            let tx = self.store.begin_bookkeeping(&tenant).await?;
            claimed.end(&tx, self.store.now()).await?;
            tx.commit().await?;
            return Ok(Batch::Ended);
        };
        let mut failed = claimed.row.failed;
        let (mut pass, mut trouble) = (Pass::default(), None);
        for id in &page {
            // What is in the way of one connection is tried again by the queue.
            let key = ConnectionKey { tenant: tenant.clone(), connection: ConnectionId::from_uuid(*id) };
            let tended = self.store.secrets().tend_now(&key, &mut pass).await?;
            failed += tended.failed;
            trouble = trouble.or(tended.trouble.map(|error| (key.connection, error)));
        }
        if let Some((connection, error)) = trouble {
            tracing::warn!(error = chain(&error), %tenant, %connection, "secrets could not be moved; the move passes them by");
        }
        let looked_at = page.len();
        let done = claimed.row.done + i64::try_from(looked_at).unwrap_or(i64::MAX);
        let tx = self.store.begin_bookkeeping(&tenant).await?;
        let progress = Progress { position: last.to_string(), done, failed };
        claimed.note(self.store, &tx, progress).await?;
        tx.commit().await?;
        Ok(Batch::Written(looked_at.try_into().unwrap_or(u64::MAX)))
    }

    async fn next_connections(&self, tenant: &TenantId, claimed: &Claimed) -> Result<Vec<Uuid>, Error> {
        use connection::{Column, Entity};
        let tx = self.store.begin_bookkeeping(tenant).await?;
        let mut query = Entity::find().filter(Column::TenantId.eq(tenant.as_str()));
        if let Ok(after) = Uuid::parse_str(&claimed.row.position) {
            query = query.filter(Column::Id.gt(after));
        }
        let page = query
            .order_by_asc(Column::Id)
            .limit(batch_size(claimed, BATCH))
            .select_only()
            .column(Column::Id)
            .into_tuple()
            .all(&tx)
            .await?;
        tx.rollback().await?;
        Ok(page)
    }
}
