//! The repository of webhook deliveries. Each counts once within its window, over all replicas, for the owner of
//! its key: a delivery that a connection's own key signs, once for the connection; one that an app's key signs, once for
//! the app. Otherwise an attacker with one delivery could present it for each of the app's connections.

use std::time::Duration;

use credvault_domain::{AuditEvent, ProviderId, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, Value};
use uuid::Uuid;

use crate::change::Change;
use crate::database::pieces;
use crate::entity::app_webhook_replay;
use crate::entity::webhook_replay::{ActiveModel, Column, Entity};
use crate::error::violates;
use crate::{ConnectionKey, Database, Error, Recorded, Store, Write};

impl Store {
    /// Whether this is the first delivery with this key to the connection within `window`. One transaction remembers it and
    /// records the call, so that a delivery counts as seen only if the vault has answered its
    /// caller.
    ///
    /// # Errors
    /// The database fails, and nothing is remembered.
    pub async fn first_delivery(
        &self,
        key: &ConnectionKey,
        replay_key: &[u8; 32],
        window: Duration,
        write: &Write,
    ) -> Result<Recorded<bool>, Error> {
        let change = self.own_change(&key.tenant).await?;
        // What has expired counts no more, whether it was swept out or not.
        Entity::delete_many()
            .filter(Column::TenantId.eq(key.tenant.as_str()))
            .filter(Column::ConnectionId.eq(key.connection.as_uuid()))
            .filter(Column::ReplayKey.eq(replay_key.to_vec()))
            .filter(Column::ExpireTime.lte(change.now.micros()))
            .exec(&change.tx)
            .await?;
        let row = ActiveModel {
            tenant_id: Set(key.tenant.as_str().to_owned()),
            connection_id: Set(key.connection.as_uuid()),
            replay_key: Set(replay_key.to_vec()),
            expire_time: Set(change.now.after(window).micros()),
        };
        let inserted = Entity::insert(row).exec_without_returning(&change.tx).await.map(|_| ());
        let unique = ("webhook_replays_pkey", "webhook_replays.replay_key");
        self.first(change, inserted, unique, write.event.clone()).await
    }

    /// The same for a delivery that is signed with a key of the app which `owner` has at a provider, or with the provider's
    /// own: whether it is the first with this key that comes to any connection of the app.
    ///
    /// # Errors
    /// The database fails, and nothing is remembered.
    pub async fn first_app_delivery(
        &self,
        (owner, provider): (&TenantId, &ProviderId),
        replay_key: &[u8; 32],
        window: Duration,
        write: &Write,
    ) -> Result<Recorded<bool>, Error> {
        use app_webhook_replay::{ActiveModel, Column, Entity};
        let change = self.own_change(owner).await?;
        Entity::delete_many()
            .filter(Column::TenantId.eq(owner.as_str()))
            .filter(Column::Provider.eq(provider.as_str()))
            .filter(Column::ReplayKey.eq(replay_key.to_vec()))
            .filter(Column::ExpireTime.lte(change.now.micros()))
            .exec(&change.tx)
            .await?;
        let row = ActiveModel {
            tenant_id: Set(owner.as_str().to_owned()),
            provider: Set(provider.as_str().to_owned()),
            replay_key: Set(replay_key.to_vec()),
            expire_time: Set(change.now.after(window).micros()),
        };
        let inserted = Entity::insert(row).exec_without_returning(&change.tx).await.map(|_| ());
        let unique = ("app_webhook_replays_pkey", "app_webhook_replays.replay_key");
        self.first(change, inserted, unique, write.event.clone()).await
    }

    /// The unique key decides which call is the first.
    async fn first(
        &self,
        mut change: Change<'_>,
        inserted: Result<(), DbErr>,
        (index, column): (&str, &str),
        mut event: AuditEvent,
    ) -> Result<Recorded<bool>, Error> {
        match inserted {
            Ok(()) => {
                event.id = self.new_id()?;
                event.time = change.now;
                if event.tenant == *change.tenant() {
                    change.record(event);
                } else {
                    change.record_elsewhere(event);
                }
                change.commit(true).await
            }
            Err(error) if violates(&error, index, column) => {
                // The transaction is lost with that.
                drop(change);
                self.audit().record_event(event, false).await
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Forgets a piece of the webhooks that were seen at connections which are about to go, and tells how many those were. All
/// else of a connection has a limit; these may be as many as a provider sends in a day.
///
/// # Errors
/// The database fails.
pub(crate) async fn forget_webhooks(
    database: Database,
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    ids: &[Uuid],
) -> Result<u64, Error> {
    let placeholders: Vec<_> = (0..ids.len()).map(|index| format!("${}", index + 2)).collect();
    let of_these = format!("tenant_id = $1 AND connection_id IN ({})", placeholders.join(", "));
    let piece = pieces::piece(database, "webhook_replays", &of_these);
    let mut values: Vec<Value> = vec![tenant.as_str().into()];
    values.extend(ids.iter().map(|id| Value::from(*id)));
    pieces::execute(tx, &format!("DELETE FROM webhook_replays WHERE {piece}"), values).await
}
