//! Deleting a user with any number of connections.
//!
//! The call makes a row in `user_deletions` durable. Then, piece by piece, the connections that the user had then are
//! deleted, so that they are not served, and are due to be purged at once; the events about the user are forgotten; and
//! the row goes. What a crash leaves undone, upkeep does. Purging follows in pieces of its own.
//!
//! Without a row nothing is deleted, and with one nothing that is newer: neither a repeated request nor upkeep ends what
//! the user has created after the deletion.

use credvault_domain::{ConnectionId, TenantId, Timestamp, UserId};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement,
};

use crate::change::outbox::{self, NewEvent};
use crate::change::{ChangeKind, feed_row};
use crate::database::pieces::{self, PIECE};
use crate::entity::change;
use crate::entity::connection::{Column, Entity, Model};
use crate::{Error, Store};

/// How often a piece is tried that others are in the way of.
const ATTEMPTS: u32 = 8;

/// Makes it durable, with the transaction, that a user is to be deleted, with everything until now: the newest connection
/// too, if the clock of the replica that created it is ahead of ours.
pub(crate) async fn mark(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    user: &UserId,
    now: i64,
) -> Result<(), Error> {
    let sql = "INSERT INTO user_deletions (tenant_id, user_id, create_time)
        SELECT $1, $2, CASE WHEN newest > $3 THEN newest ELSE $3 END FROM (
            SELECT max(create_time) AS newest FROM connections WHERE tenant_id = $1 AND owner_user = $2
        ) c WHERE true
        ON CONFLICT (tenant_id, user_id) DO UPDATE SET create_time = excluded.create_time";
    pieces::execute(tx, sql, [tenant.as_str().into(), user.as_str().into(), now.into()]).await?;
    Ok(())
}

/// Until when what a user has created is to be deleted, if the user is marked.
async fn marked(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    user: &UserId,
) -> Result<Option<Timestamp>, Error> {
    let sql = "SELECT create_time FROM user_deletions WHERE tenant_id = $1 AND user_id = $2";
    let values = [tenant.as_str().into(), user.as_str().into()];
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let row = tx.query_one_raw(asked).await?;
    Ok(row.map(|row| row.try_get("", "create_time")).transpose()?.map(Timestamp::from_micros))
}

impl Store {
    /// Deletes the connections of a user who is marked, until none is served, and tells how many those were.
    pub(crate) async fn delete_connections_of(&self, tenant: &TenantId, user: &UserId) -> Result<i64, Error> {
        let (mut deleted, mut attempts) = (0, ATTEMPTS);
        loop {
            match self.delete_piece_of(tenant, user).await {
                Ok(Some(piece)) => (deleted, attempts) = (deleted + piece, ATTEMPTS),
                Ok(None) => return Ok(deleted),
                Err(Error::Conflict) if attempts > 0 => attempts -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// One piece of that; `None` once nothing was left.
    async fn delete_piece_of(&self, tenant: &TenantId, user: &UserId) -> Result<Option<i64>, Error> {
        let (tx, now) = (self.background_write(tenant).await?, self.now());
        let Some(until) = marked(&tx, tenant, user).await? else { return Ok(None) };
        let owned = Condition::all()
            .add(Column::TenantId.eq(tenant.as_str()))
            .add(Column::OwnerUser.eq(user.as_str()))
            .add(Column::CreateTime.lte(until.micros()));
        // One that is deleted already cannot be taken back any more either.
        let kept = Condition::any().add(Column::PurgeTime.is_null()).add(Column::PurgeTime.gt(now.micros()));
        let rows = Entity::find()
            .filter(owned.clone().add(kept))
            .order_by_asc(Column::Id)
            .limit(PIECE)
            .lock_exclusive()
            .all(&tx)
            .await?;
        if rows.is_empty() {
            let forgotten = outbox::forget_user(self, &tx, tenant, user, until).await?;
            if forgotten == 0 {
                // Unless it is the mark of another request by now.
                let sql =
                    "DELETE FROM user_deletions WHERE tenant_id = $1 AND user_id = $2 AND create_time = $3";
                let values = [tenant.as_str().into(), user.as_str().into(), until.micros().into()];
                pieces::execute(&tx, sql, values).await?;
            }
            tx.commit().await?;
            return Ok((forgotten > 0).then_some(0));
        }
        Entity::update_many()
            .col_expr(Column::DeleteTime, Expr::col(Column::DeleteTime).if_null(now.micros()))
            .col_expr(Column::PurgeTime, Expr::value(now.micros()))
            .col_expr(Column::IsDefault, Expr::value(false))
            .col_expr(Column::Revision, Expr::col(Column::Revision).add(1))
            .col_expr(Column::UpdateTime, Expr::value(now.micros()))
            .filter(owned.add(Column::Id.is_in(rows.iter().map(|row| row.id))))
            .exec(&tx)
            .await?;
        let served: Vec<&Model> = rows.iter().filter(|row| row.delete_time.is_none()).collect();
        if !served.is_empty() {
            let row = |model: &&Model| {
                feed_row(tenant, Some(ConnectionId::from_uuid(model.id)), ChangeKind::Deleted, None, now)
            };
            change::Entity::insert_many(served.iter().map(row)).exec_without_returning(&tx).await?;
        }
        let told = served.iter().filter(|model| model.current_version > 0);
        let told: Vec<_> = told.map(|model| NewEvent::user_deleted(model)).collect();
        outbox::queue(self, &tx, tenant, now, &told).await?;
        tx.commit().await?;
        Ok(Some(i64::try_from(rows.len()).unwrap_or(i64::MAX)))
    }

    /// Goes on with the deletions that a crash, or the end of a call, left undone.
    pub(crate) async fn finish_user_deletions(&self) -> Result<(), Error> {
        let everywhere = self.read_background().await?;
        let sql = format!("SELECT tenant_id, user_id FROM user_deletions ORDER BY create_time LIMIT {PIECE}");
        let rows = everywhere.query_all_raw(Statement::from_string(everywhere.get_database_backend(), sql));
        let rows = rows.await?;
        everywhere.rollback().await?;
        for row in rows {
            let tenant = TenantId::from_stored(row.try_get("", "tenant_id")?);
            let user = UserId::from_stored(row.try_get("", "user_id")?);
            // One that fails must not keep the others: it is tried again the next time.
            if let Err(error) = self.delete_connections_of(&tenant, &user).await {
                tracing::warn!(%error, %tenant, "a user could not be deleted yet");
            }
        }
        Ok(())
    }
}
