//! Purging deleted connections for good, in pieces. One whose grant is still to be revoked is left until that is settled:
//! with its row would go what the revocation takes. So is one whose provider may still answer with newer tokens, or with a
//! key: nothing would be left that could keep them for a revocation. And so are, for a day at most, the keys of rotations that
//! end with the access.

use credvault_domain::{Action, ConnectionId, ProviderId, Revocation, TenantId, Timestamp, UserId};
use sea_orm::sea_query::{Expr, LockBehavior, LockType};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use uuid::Uuid;

use crate::connections::row::owner;
use crate::connections::writer::purge;
use crate::credential_rotations::keys::NEW;
use crate::credential_rotations::left::leave_all;
use crate::credential_rotations::row::MINTING;
use crate::database::pieces::PIECE;
use crate::entity::connection::{Column, Entity};
use crate::webhook_replays::forget_webhooks;
use crate::{ConnectionKey, Error, Recorded, Store};

/// Which of a tenant's connections are purged, if they are due.
#[derive(Clone, Copy)]
pub(crate) enum Purging<'a> {
    All,
    OwnedBy(&'a UserId),
    One(ConnectionId),
}

/// How long a purge waits at most for the attempts to end the keys that a connection has left, in microseconds: a day.
const KEYS_WAIT: i64 = 24 * 3600 * 1_000_000;
/// How many attempts to end a key it waits for.
const KEY_ATTEMPTS: i64 = 2;

/// A condition on rows of `connections`: until the lease of a claim that was made is over, its provider may answer with tokens
/// that are newer than those which a revocation was asked for, or with a key that is not known yet. And until they were tried,
/// the keys are to end that rotations have left, if the access was ended. `now` is the database's time, `today` the vault's.
pub(super) fn awaits_answer(now: i64, today: Timestamp) -> String {
    let [pending, done, failed] =
        [Revocation::Pending, Revocation::Done, Revocation::Failed].map(Revocation::as_str);
    let since = today.micros().saturating_sub(KEYS_WAIT);
    format!(
        "(COALESCE(connections.revocation, '') IN ('{pending}', '{done}', '{failed}') AND EXISTS (
            SELECT 1 FROM refreshes r WHERE r.tenant_id = connections.tenant_id
                AND r.connection_id = connections.id AND r.lease_time > {now})
        OR EXISTS (
            SELECT 1 FROM credential_rotations m WHERE m.tenant_id = connections.tenant_id
                AND m.connection_id = connections.id AND m.state = '{MINTING}' AND m.lease_time > {now})
        OR connections.revocation IS NOT NULL AND connections.purge_time > {since} AND EXISTS (
            SELECT 1 FROM rotated_keys k WHERE k.tenant_id = connections.tenant_id
                AND k.connection_id = connections.id AND k.role <> '{NEW}' AND k.attempts < {KEY_ATTEMPTS}))"
    )
}

impl Store {
    /// Purges a connection at once that only its revocation has kept, and leaves any other as it is. Upkeep would find it
    /// within a minute.
    ///
    /// # Errors
    /// The database fails.
    pub async fn purge_settled(&self, key: &ConnectionKey) -> Result<(), Error> {
        // A deleted connection's time to be undeleted must not be cut short by a clock that is wrong.
        if self.clock().is_trusted() && self.purge_piece(&key.tenant, Purging::One(key.connection)).await? > 0
        {
            self.known_connections().forget(key.connection);
        }
        Ok(())
    }

    /// Purges a piece of what is due of a tenant, and tells how much that was. Rows that another transaction holds are left
    /// to it.
    pub(crate) async fn purge_piece(&self, tenant: &TenantId, these: Purging<'_>) -> Result<u64, Error> {
        loop {
            if let Some(purged) = self.try_purge_piece(tenant, these).await? {
                return Ok(purged);
            }
        }
    }

    /// The same; `None` if the connections stay for now, because a piece of the webhooks that were seen at them went.
    async fn try_purge_piece(&self, tenant: &TenantId, these: Purging<'_>) -> Result<Option<u64>, Error> {
        let mut change = self.own_change(tenant).await?;
        let answers = awaits_answer(self.database_time(&change.tx).await?, change.now);
        let due = Entity::find()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::PurgeTime.lte(change.now.micros()))
            .filter(Column::RevocationTime.is_null())
            .filter(Expr::cust(format!("NOT {answers}")))
            .order_by_asc(Column::PurgeTime)
            .limit(PIECE)
            .select_only()
            .columns([Column::Id, Column::Provider, Column::OwnerUser]);
        let due = match these {
            Purging::All => due,
            Purging::OwnedBy(user) => due.filter(Column::OwnerUser.eq(user.as_str())),
            Purging::One(id) => due.filter(Column::Id.eq(id.as_uuid())),
        };
        let due = due.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        let due: Vec<(Uuid, String, String)> = due.into_tuple().all(&change.tx).await?;
        if due.is_empty() {
            return Ok(Some(0));
        }
        let ids: Vec<_> = due.iter().map(|(id, ..)| *id).collect();
        if forget_webhooks(self.database(), &change.tx, tenant, &ids).await? == PIECE {
            change.commit_preparation().await?;
            return Ok(None);
        }
        let connections: Vec<_> = ids.into_iter().map(ConnectionId::from_uuid).collect();
        leave_all(&mut change, &connections).await?;
        let purged = purge(&mut change, &connections).await?;
        for (id, provider, owner_user) in due {
            let mut record = self.own_event(tenant, Action::PurgeConnection)?;
            record.connection = Some(ConnectionId::from_uuid(id));
            record.owner_user = owner(tenant.as_str(), &owner_user).user().cloned();
            record.provider = Some(ProviderId::from_stored(provider));
            change.record(record);
        }
        change.commit(Some(purged)).await.map(Recorded::into_inner)
    }
}
