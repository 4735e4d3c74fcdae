//! The repository of webhook deliveries: each counts once within its window, on all replicas together, for whom its key
//! belongs to. What a connection's own key signs counts once for the connection; what an app's key signs, once for the app,
//! or whoever sees a delivery could show it to the vault for each of the app's connections.

use std::time::Duration;

use credvault_domain::{AuditEvent, ProviderId, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};

use crate::audit::log;
use crate::database::session::{begin_write, set_tenant};
use crate::entity::app_delivery;
use crate::entity::webhook_delivery::{ActiveModel, Column, Entity};
use crate::error::violates;
use crate::{Error, Place, Recorded, Store};

impl Store {
    /// Whether this is the first time within `window` that a delivery with this key comes to the place. From now on it
    /// is not; that and the record of the call become durable together, so that no delivery counts as seen whose caller
    /// was never told.
    ///
    /// # Errors
    /// The database fails, and nothing is remembered.
    pub async fn first_delivery(
        &self,
        place: &Place,
        key: &[u8; 32],
        window: Duration,
        event: AuditEvent,
    ) -> Result<Recorded<bool>, Error> {
        let tx = begin_write(&self.writer(), self.database(), &place.tenant).await?;
        let now = self.now();
        // What has expired counts no more, whether it was swept out or not.
        Entity::delete_many()
            .filter(Column::TenantId.eq(place.tenant.as_str()))
            .filter(Column::ConnectionId.eq(place.connection.as_uuid()))
            .filter(Column::ReplayKey.eq(key.to_vec()))
            .filter(Column::ExpireTime.lte(now.micros()))
            .exec(&tx)
            .await?;
        let row = ActiveModel {
            tenant_id: Set(place.tenant.as_str().to_owned()),
            connection_id: Set(place.connection.as_uuid()),
            replay_key: Set(key.to_vec()),
            expire_time: Set(now.after(window).micros()),
        };
        let inserted = Entity::insert(row).exec_without_returning(&tx).await.map(|_| ());
        let unique = ("webhook_deliveries_pkey", "webhook_deliveries.replay_key");
        self.first(tx, inserted, unique, event).await
    }

    /// The same for a delivery that is signed with a key of the app which `owner` has at a provider, or with the provider's
    /// own: whether it is the first with this key that comes to any connection of the app.
    ///
    /// # Errors
    /// The database fails, and nothing is remembered.
    pub async fn first_app_delivery(
        &self,
        (owner, provider): (&TenantId, &ProviderId),
        key: &[u8; 32],
        window: Duration,
        event: AuditEvent,
    ) -> Result<Recorded<bool>, Error> {
        use app_delivery::{ActiveModel, Column, Entity};
        let tx = begin_write(&self.writer(), self.database(), owner).await?;
        let now = self.now();
        Entity::delete_many()
            .filter(Column::TenantId.eq(owner.as_str()))
            .filter(Column::Provider.eq(provider.as_str()))
            .filter(Column::ReplayKey.eq(key.to_vec()))
            .filter(Column::ExpireTime.lte(now.micros()))
            .exec(&tx)
            .await?;
        let row = ActiveModel {
            tenant_id: Set(owner.as_str().to_owned()),
            provider: Set(provider.as_str().to_owned()),
            replay_key: Set(key.to_vec()),
            expire_time: Set(now.after(window).micros()),
        };
        let inserted = Entity::insert(row).exec_without_returning(&tx).await.map(|_| ());
        let unique = ("app_deliveries_pkey", "app_deliveries.replay_key");
        self.first(tx, inserted, unique, event).await
    }

    /// The unique key decides who is the first.
    async fn first(
        &self,
        tx: DatabaseTransaction,
        inserted: Result<(), DbErr>,
        (index, column): (&str, &str),
        mut event: AuditEvent,
    ) -> Result<Recorded<bool>, Error> {
        match inserted {
            Ok(()) => {
                event.id = self.new_id()?;
                event.time = self.now();
                set_tenant(&tx, self.database(), &event.tenant).await?;
                log::insert(&tx, &[event]).await?;
                tx.commit().await?;
                Ok(Recorded::durable(true))
            }
            Err(error) if violates(&error, index, column) => {
                // The transaction is lost with that.
                drop(tx);
                self.audit().record(event, false).await
            }
            Err(error) => Err(error.into()),
        }
    }
}
