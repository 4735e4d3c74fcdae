//! Purging deleted connections for good, in pieces.

use credvault_domain::{Action, ConnectionId, ProviderId, TenantId, UserId};
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use uuid::Uuid;

use crate::connections::row::owner;
use crate::connections::writer::purge;
use crate::database::pieces::PIECE;
use crate::entity::connection::{Column, Entity};
use crate::webhook_replays::forget_webhooks;
use crate::{Error, Recorded, Store};

impl Store {
    /// Purges a piece of what is due of a tenant, or of one of its users, and tells how much that was. Rows that another
    /// transaction holds are left to it.
    pub(crate) async fn purge_piece(&self, tenant: &TenantId, user: Option<&UserId>) -> Result<u64, Error> {
        loop {
            if let Some(purged) = self.try_purge_piece(tenant, user).await? {
                return Ok(purged);
            }
        }
    }

    /// The same; `None` if the connections stay for now, because a piece of the webhooks that were seen at them went.
    async fn try_purge_piece(&self, tenant: &TenantId, user: Option<&UserId>) -> Result<Option<u64>, Error> {
        let mut change = self.own_change(tenant).await?;
        let mut due = Entity::find()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::PurgeTime.lte(change.now.micros()))
            .order_by_asc(Column::PurgeTime)
            .limit(PIECE)
            .select_only()
            .columns([Column::Id, Column::Provider, Column::OwnerUser]);
        if let Some(user) = user {
            due = due.filter(Column::OwnerUser.eq(user.as_str()));
        }
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
