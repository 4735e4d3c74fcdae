//! The repository of webhook deliveries: each counts once within its window, on all replicas together.

use std::time::Duration;

use credvault_domain::AuditEvent;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use crate::entity::webhook_delivery::{ActiveModel, Column, Entity};
use crate::error::violates;
use crate::session::begin_write;
use crate::{Error, Place, Recorded, Store, audit_log};

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
        mut event: AuditEvent,
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
        // The unique key decides who is the first.
        match Entity::insert(row).exec_without_returning(&tx).await {
            Ok(_) => {
                event.id = self.new_id()?;
                event.time = now;
                audit_log::insert(&tx, &[event]).await?;
                tx.commit().await?;
                Ok(Recorded::durable(true))
            }
            Err(error) if violates(&error, "webhook_deliveries_pkey", "webhook_deliveries.replay_key") => {
                // The transaction is lost with that.
                drop(tx);
                self.audit().record(event, false).await
            }
            Err(error) => Err(error.into()),
        }
    }
}
