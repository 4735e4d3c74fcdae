//! Deleting a user with any number of connections.
//!
//! The call makes a row in `user_deletions` durable. Then, piece by piece, the connections that the user had then are
//! deleted, so that they are not served, and are due to be purged at once; the configs of services that the user had go;
//! the events about the user are forgotten; and the row goes. What a crash leaves undone, upkeep does. Purging follows in pieces of its own.
//!
//! Without a row nothing is deleted, and with one nothing that is newer: neither a repeated request nor upkeep ends what
//! the user has created after the deletion.

use credvault_domain::{TenantId, Timestamp, UserId};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement,
};

use crate::change::outbox::NewEvent;
use crate::connections::writer::delete_for_good;
use crate::database::pieces::{self, PIECE};
use crate::entity::connection::{Column, Entity};
use crate::events::forget::forget_user;
use crate::service_configs::affected::delete_piece_of_user;
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
            SELECT max(create_time) AS newest FROM (
                SELECT create_time FROM connections WHERE tenant_id = $1 AND owner_user = $2
                UNION ALL SELECT create_time FROM service_configs WHERE tenant_id = $1 AND owner_user = $2
            ) owned
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
        let mut change = self.own_change(tenant).await?;
        let now = change.now;
        let Some(until) = marked(&change.tx, tenant, user).await? else { return Ok(None) };
        let owned = Condition::all()
            .add(Column::TenantId.eq(tenant.as_str()))
            .add(Column::OwnerUser.eq(user.as_str()))
            .add(Column::CreateTime.lte(until.micros()));
        // One that is deleted already cannot be taken back any more either.
        let kept = Condition::any().add(Column::PurgeTime.is_null()).add(Column::PurgeTime.gt(now.micros()));
        let rows = Entity::find()
            .filter(owned.add(kept))
            .order_by_asc(Column::Id)
            .limit(PIECE)
            .lock_exclusive()
            .all(&change.tx)
            .await?;
        if rows.is_empty() {
            if delete_piece_of_user(&mut change, tenant, user, until).await? > 0 {
                let _ = change.commit(()).await?;
                return Ok(Some(0));
            }
            let forgotten = forget_user(self, &change.tx, tenant, user, until).await?;
            let sql = "DELETE FROM user_sightings WHERE tenant_id = $1 AND user_id = $2 AND last_time <= $3";
            let values = [tenant.as_str().into(), user.as_str().into(), until.micros().into()];
            pieces::execute(&change.tx, sql, values).await?;
            if forgotten == 0 {
                // Unless it is the mark of another request by now.
                let sql =
                    "DELETE FROM user_deletions WHERE tenant_id = $1 AND user_id = $2 AND create_time = $3";
                let values = [tenant.as_str().into(), user.as_str().into(), until.micros().into()];
                pieces::execute(&change.tx, sql, values).await?;
            }
            let _ = change.commit(()).await?;
            return Ok((forgotten > 0).then_some(0));
        }
        delete_for_good(&mut change, &rows, until).await?;
        for row in rows.iter().filter(|row| row.delete_time.is_none() && row.current_version > 0) {
            change.emit(NewEvent::user_deleted(row));
        }
        let _ = change.commit(()).await?;
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
