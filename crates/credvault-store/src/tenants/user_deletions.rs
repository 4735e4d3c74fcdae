//! Deleting a user with any number of connections.
//!
//! The call makes a row in `user_deletions` durable. Then, piece by piece, the connections that the user had then are
//! deleted, so that they are not served, and are due to be purged at once; the configs of services that the user had go;
//! the events about the user are forgotten; and the row goes. What a crash leaves undone, upkeep does. Purging follows in pieces of its own.
//!
//! Without a row nothing is deleted, and with one nothing that is newer: neither a repeated request nor upkeep ends what
//! the user has created after the deletion.
//!
//! If the row says so, the secrets of each piece are destroyed with it, and what the providers take to revoke the grants is
//! kept sealed. Such a connection is purged when its revocation is settled, and not before.

use std::collections::HashSet;

use credvault_domain::{AuthMode, ProviderId, Revocation, TenantId, Timestamp, UserId};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement, Value,
};

use crate::change::Change;
use crate::change::outbox::NewEvent;
use crate::connections::writer::delete_for_good;
use crate::database::pieces::{self, PIECE};
use crate::entity::connection::{Column, Entity, Model};
use crate::events::forget::forget_user;
use crate::revocations::release::end_credential;
use crate::service_configs::affected::delete_piece_of_user;
use crate::{Error, Store};

/// How often a piece is tried that others are in the way of.
const ATTEMPTS: u32 = 8;
/// How many connections a piece has at most whose grants are to be revoked: each takes a dozen statements.
const REVOKED_PIECE: u64 = 25;

/// What is to happen to the grant of a connection that goes with its user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrantEnding {
    /// The provider is asked to revoke it.
    Revoke,
    /// The provider has no call for that.
    Unsupported,
    /// It stays valid at the provider: the caller may not disconnect the connection.
    Leave,
}

/// What is to happen to the grants of an auth mode at a provider. It is asked about each connection in its turn, for the user
/// may have got it since the deletion began.
pub type GrantEndings<'a> = &'a (dyn Fn(&ProviderId, &AuthMode) -> GrantEnding + Sync);

/// What the deletion of a user has removed, and how the grants behind it stand. Connections that share a grant count once.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DeletedUser {
    /// The connections that are not served any more.
    pub connections: i64,
    /// The grants whose revocation is under way.
    pub to_revoke: i64,
    /// The grants that their providers cannot revoke, or that were left to them when their credential was destroyed.
    pub unsupported: i64,
    /// The grants that stay valid because their revocation was not asked for, was not permitted, or failed.
    pub remaining: i64,
}

/// A connection that a piece has deleted: as it is now, or as it was before if its grant was left to the provider.
struct Gone {
    row: Model,
    /// Whether it was not yet on the way out before.
    is_new: bool,
}

/// The grants that remain, by what tells one from another: provider, auth mode, and the account that the provider has named.
type Remaining = HashSet<[String; 3]>;

impl DeletedUser {
    /// Counts a connection that is deleted now, and its grant unless another connection has shown that.
    fn count(&mut self, Gone { row, is_new }: Gone, remaining: &mut Remaining) {
        self.connections += i64::from(is_new);
        let revocation = row.revocation.as_deref().and_then(Revocation::from_stored);
        match (row.current_version > 0, revocation) {
            (true, _) => {
                let account = row.confirmed_account_id;
                let is_first =
                    account.is_none_or(|account| remaining.insert([row.provider, row.auth_mode, account]));
                self.remaining += i64::from(is_first);
            }
            (false, Some(Revocation::Failed)) => self.remaining += 1,
            (false, Some(Revocation::Pending)) => self.to_revoke += 1,
            (false, Some(Revocation::Unsupported)) => self.unsupported += 1,
            (false, Some(Revocation::Done | Revocation::Kept) | None) => {}
        }
    }
}

/// The row of a user who is to be deleted.
struct Mark {
    /// Until when what the user has created goes.
    until: Timestamp,
    /// Whether the grants of the connections are revoked.
    revokes: bool,
}

/// Makes it durable, with the transaction, that a user is to be deleted, with everything until now: the newest connection
/// too, if the clock of the replica that created it is ahead of ours. A deletion under way that revokes still does.
pub(crate) async fn mark(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    user: &UserId,
    now: i64,
    revokes: bool,
) -> Result<(), Error> {
    let sql = "INSERT INTO user_deletions (tenant_id, user_id, create_time, revokes)
        SELECT $1, $2, CASE WHEN newest > $3 THEN newest ELSE $3 END, $4 FROM (
            SELECT max(create_time) AS newest FROM (
                SELECT create_time FROM connections WHERE tenant_id = $1 AND owner_user = $2
                UNION ALL SELECT create_time FROM service_configs WHERE tenant_id = $1 AND owner_user = $2
            ) owned
        ) c WHERE true
        ON CONFLICT (tenant_id, user_id) DO UPDATE SET create_time = excluded.create_time,
            revokes = user_deletions.revokes OR excluded.revokes";
    let values = [tenant.as_str().into(), user.as_str().into(), now.into(), revokes.into()];
    pieces::execute(tx, sql, values).await?;
    Ok(())
}

/// The row of a user, if the user is marked.
async fn marked(tx: &DatabaseTransaction, tenant: &TenantId, user: &UserId) -> Result<Option<Mark>, Error> {
    let sql = "SELECT create_time, revokes FROM user_deletions WHERE tenant_id = $1 AND user_id = $2";
    let values = [tenant.as_str().into(), user.as_str().into()];
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let Some(row) = tx.query_one_raw(asked).await? else { return Ok(None) };
    let until = Timestamp::from_micros(row.try_get("", "create_time")?);
    Ok(Some(Mark { until, revokes: row.try_get("", "revokes")? }))
}

impl Store {
    /// Deletes the connections of a user who is marked, until none is served, and tells what those were. Without
    /// `ends`, every provider is asked to revoke, and the attempt shows whether it can.
    pub(crate) async fn delete_connections_of(
        &self,
        tenant: &TenantId,
        user: &UserId,
        ends: Option<GrantEndings<'_>>,
    ) -> Result<DeletedUser, Error> {
        let (mut deleted, mut attempts) = (DeletedUser::default(), ATTEMPTS);
        let mut remaining = Remaining::new();
        loop {
            match self.delete_piece_of(tenant, user, ends).await {
                Ok(Some(piece)) => {
                    piece.into_iter().for_each(|gone| deleted.count(gone, &mut remaining));
                    attempts = ATTEMPTS;
                }
                Ok(None) => return Ok(deleted),
                Err(Error::Conflict) if attempts > 0 => attempts -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// One piece of that; `None` once nothing was left.
    async fn delete_piece_of(
        &self,
        tenant: &TenantId,
        user: &UserId,
        ends: Option<GrantEndings<'_>>,
    ) -> Result<Option<Vec<Gone>>, Error> {
        let Some((mut change, mark)) = self.begin_piece_of(tenant, user).await? else { return Ok(None) };
        let rows = next_rows(&change, user, &mark).await?;
        if rows.is_empty() {
            return self.delete_rest_of(change, user, mark.until).await;
        }
        let mut gone = Vec::with_capacity(rows.len());
        if mark.revokes {
            for row in rows {
                let is_new = is_new(&row, change.now);
                let row = delete_and_revoke(&mut change, row, mark.until, ends).await?;
                gone.push(Gone { row, is_new });
            }
        } else {
            delete_for_good(&mut change, &rows, mark.until).await?;
            rows.iter().for_each(|row| tell(&mut change, row));
            gone.extend(rows.into_iter().map(|row| Gone { row, is_new: true }));
        }
        let _ = change.commit(()).await?;
        Ok(Some(gone))
    }

    /// The change of a piece, with the tenant's keys only if something is to be sealed: a deletion that revokes nothing
    /// needs none.
    async fn begin_piece_of(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Option<(Change<'_>, Mark)>, Error> {
        let change = self.own_change(tenant).await?;
        let Some(mark) = marked(&change.tx, tenant, user).await? else { return Ok(None) };
        if !mark.revokes {
            return Ok(Some((change, mark)));
        }
        change.tx.rollback().await?;
        let change = self.own_opening_change(tenant).await?;
        Ok(marked(&change.tx, tenant, user).await?.map(|mark| (change, mark)))
    }

    /// The rest of a deletion, once all connections of the user are deleted: configs of services, events, and the mark. `None`
    /// once nothing was left.
    async fn delete_rest_of(
        &self,
        mut change: Change<'_>,
        user: &UserId,
        until: Timestamp,
    ) -> Result<Option<Vec<Gone>>, Error> {
        let tenant = change.tenant().clone();
        if delete_piece_of_user(&mut change, &tenant, user, until).await? > 0 {
            let _ = change.commit(()).await?;
            return Ok(Some(Vec::new()));
        }
        let forgotten = forget_user(self, &change.tx, &tenant, user, until).await?;
        let values =
            || -> [Value; 3] { [tenant.as_str().into(), user.as_str().into(), until.micros().into()] };
        let sql = "DELETE FROM user_sightings WHERE tenant_id = $1 AND user_id = $2 AND last_time <= $3";
        pieces::execute(&change.tx, sql, values()).await?;
        if forgotten == 0 {
            // Unless it is the mark of another request by now.
            let sql = "DELETE FROM user_deletions WHERE tenant_id = $1 AND user_id = $2 AND create_time = $3";
            pieces::execute(&change.tx, sql, values()).await?;
        }
        let _ = change.commit(()).await?;
        Ok((forgotten > 0).then(Vec::new))
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
            if let Err(error) = self.delete_connections_of(&tenant, &user, None).await {
                tracing::warn!(%error, %tenant, "a user could not be deleted yet");
            }
        }
        Ok(())
    }
}

/// The next connections that go, locked. One that is deleted already cannot be taken back any more either.
async fn next_rows(change: &Change<'_>, user: &UserId, mark: &Mark) -> Result<Vec<Model>, Error> {
    let owned = Condition::all()
        .add(Column::TenantId.eq(change.tenant().as_str()))
        .add(Column::OwnerUser.eq(user.as_str()))
        .add(Column::CreateTime.lte(mark.until.micros()));
    let kept =
        Condition::any().add(Column::PurgeTime.is_null()).add(Column::PurgeTime.gt(change.now.micros()));
    // One that is about to be purged may still have its grant.
    let granted = mark.revokes.then(|| Column::CurrentVersion.gt(0));
    let rows = Entity::find()
        .filter(owned.add(kept.add_option(granted)))
        .order_by_asc(Column::Id)
        .limit(if mark.revokes { REVOKED_PIECE } else { PIECE })
        .lock_exclusive();
    Ok(rows.all(&change.tx).await?)
}

/// Whether a row is not due to be purged already.
fn is_new(row: &Model, now: Timestamp) -> bool {
    row.purge_time.is_none_or(|time| time > now.micros())
}

/// Deletes a row and has its grant revoked, if that is permitted; its secret goes in any case. One after the other: of
/// connections that share a grant, the last is asked for.
async fn delete_and_revoke(
    change: &mut Change<'_>,
    row: Model,
    until: Timestamp,
    ends: Option<GrantEndings<'_>>,
) -> Result<Model, Error> {
    delete_for_good(change, std::slice::from_ref(&row), until).await?;
    tell(change, &row);
    if row.current_version == 0 {
        return Ok(row);
    }
    let deleted = Entity::find_by_id((row.tenant_id, row.id)).one(&change.tx).await?;
    let deleted = deleted.ok_or(Error::ConnectionNotFound)?;
    let provider = ProviderId::from_stored(deleted.provider.clone());
    let mode = AuthMode::from_stored(deleted.auth_mode.clone());
    let (end, now) = (ends.map_or(GrantEnding::Revoke, |ends| ends(&provider, &mode)), change.now);
    match end {
        GrantEnding::Revoke => end_credential(change, deleted, true, now).await,
        GrantEnding::Unsupported => end_credential(change, deleted, false, now).await,
        GrantEnding::Leave => {
            end_credential(change, deleted.clone(), false, now).await?;
            Ok(deleted)
        }
    }
}

/// Tells the endpoints of the tenant that a connection, as it was before, is served no longer.
fn tell(change: &mut Change<'_>, row: &Model) {
    if row.delete_time.is_none() && row.current_version > 0 {
        change.emit(NewEvent::user_deleted(row));
    }
}
