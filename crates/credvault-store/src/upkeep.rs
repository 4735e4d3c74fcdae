//! Background work: purging what was deleted long enough ago, and forgetting old requests and changes.

use std::time::Duration;

use credvault_domain::{
    Action, AuditOutcome, ConnectionId, ConnectionState, DeliveryState, ProviderId, Reason, TenantId,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use crate::change::REQUEST_MEMORY;
use crate::connection_row::owner;
use crate::entity::{
    app_delivery, authorization, change, connection, event_delivery, request, webhook_delivery,
};
use crate::event_deliveries::bury_late;
use crate::{Error, Store, audit_log, callbacks, handoffs, session};

/// How long rows of the change feed are kept.
const FEED_MEMORY: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the state of a consent is known once its time is over.
const STATE_MEMORY: Duration = Duration::from_secs(3600);
/// How many due rows one round looks at.
const ROUND: u64 = 100;

impl Store {
    /// Does what is due now, and tells how many connections were purged. Any number of replicas may do so at a time.
    ///
    /// # Errors
    /// The database fails; what was not done is done the next time.
    pub async fn upkeep(&self) -> Result<u64, Error> {
        let mut purged = 0;
        loop {
            let due = self.due_purges().await?;
            let mut failed = false;
            for (tenant, id) in &due {
                match self.purge_due(tenant, *id).await {
                    Ok(done) => purged += u64::from(done),
                    // One that fails must not keep the others: it is tried again the next time.
                    Err(error) => {
                        tracing::warn!(%error, connection = %id, "a deleted connection could not be purged");
                        failed = true;
                    }
                }
            }
            if failed || due.len() < usize::try_from(ROUND).unwrap_or(usize::MAX) {
                break;
            }
        }
        self.forget().await?;
        Ok(purged)
    }

    async fn due_purges(&self) -> Result<Vec<(TenantId, Uuid)>, Error> {
        use connection::Column;
        let everywhere = self.read_background().await?;
        let rows: Vec<(String, Uuid)> = connection::Entity::find()
            .filter(Column::PurgeTime.lte(self.now().micros()))
            .order_by_asc(Column::PurgeTime)
            .limit(ROUND)
            .select_only()
            .columns([Column::TenantId, Column::Id])
            .into_tuple()
            .all(&everywhere)
            .await?;
        Ok(rows.into_iter().map(|(tenant, id)| (TenantId::from_stored(tenant), id)).collect())
    }

    /// Purges one connection, unless somebody undeleted it or another replica was first.
    async fn purge_due(&self, tenant: &TenantId, id: Uuid) -> Result<bool, Error> {
        use connection::Column;
        let tx = self.background_write(tenant).await?;
        let purged = connection::Entity::delete_many()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::Id.eq(id))
            .filter(Column::PurgeTime.lte(self.now().micros()))
            .exec_with_returning(&tx)
            .await?;
        let Some(model) = purged.into_iter().next() else { return Ok(false) };
        let mut event = self.own_event(tenant, Action::PurgeConnection)?;
        event.connection = Some(ConnectionId::from_uuid(id));
        event.owner_user = owner(&model.tenant_id, &model.owner_user).user().cloned();
        audit_log::insert(&tx, &[event]).await?;
        let feed = change::ActiveModel {
            tenant_id: Set(tenant.as_str().to_owned()),
            connection_id: Set(Some(id)),
            kind: Set("PURGED".to_owned()),
            version: Set(None),
            time: Set(self.now().micros()),
            ..Default::default()
        };
        change::Entity::insert(feed).exec_without_returning(&tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Forgets requests and changes that are old enough, tenant by tenant.
    async fn forget(&self) -> Result<(), Error> {
        let requests_before = self.now().before(REQUEST_MEMORY).micros();
        let feed_before = self.now().before(FEED_MEMORY).micros();
        let everywhere = self.read_background().await?;
        let mut tenants: Vec<String> = request::Entity::find()
            .filter(request::Column::CreateTime.lt(requests_before))
            .select_only()
            .column(request::Column::TenantId)
            .distinct()
            .into_tuple()
            .all(&everywhere)
            .await?;
        let feeds: Vec<String> = change::Entity::find()
            .filter(change::Column::Time.lt(feed_before))
            .select_only()
            .column(change::Column::TenantId)
            .distinct()
            .into_tuple()
            .all(&everywhere)
            .await?;
        everywhere.rollback().await?;
        tenants.extend(feeds);
        tenants.extend(self.expired_tenants().await?);
        tenants.sort();
        tenants.dedup();
        for tenant in tenants.into_iter().map(TenantId::from_stored) {
            if let Err(error) = self.forget_of(&tenant, requests_before, feed_before).await {
                tracing::warn!(%error, %tenant, "old requests and changes could not be forgotten");
            }
        }
        Ok(())
    }

    async fn forget_of(
        &self,
        tenant: &TenantId,
        requests_before: i64,
        feed_before: i64,
    ) -> Result<(), Error> {
        let tx = self.background_write(tenant).await?;
        request::Entity::delete_many()
            .filter(request::Column::TenantId.eq(tenant.as_str()))
            .filter(request::Column::CreateTime.lt(requests_before))
            .exec(&tx)
            .await?;
        change::Entity::delete_many()
            .filter(change::Column::TenantId.eq(tenant.as_str()))
            .filter(change::Column::Time.lt(feed_before))
            .exec(&tx)
            .await?;
        let now = self.now().micros();
        handoffs::forget_expired(&tx, tenant, now).await?;
        callbacks::forget_expired(&tx, tenant, now).await?;
        // A state that comes too late is told so for a while.
        authorization::Entity::delete_many()
            .filter(authorization::Column::TenantId.eq(tenant.as_str()))
            .filter(authorization::Column::ExpireTime.lt(self.now().before(STATE_MEMORY).micros()))
            .exec(&tx)
            .await?;
        self.end_late_consents(&tx, tenant).await?;
        webhook_delivery::Entity::delete_many()
            .filter(webhook_delivery::Column::TenantId.eq(tenant.as_str()))
            .filter(webhook_delivery::Column::ExpireTime.lt(now))
            .exec(&tx)
            .await?;
        app_delivery::Entity::delete_many()
            .filter(app_delivery::Column::TenantId.eq(tenant.as_str()))
            .filter(app_delivery::Column::ExpireTime.lt(now))
            .exec(&tx)
            .await?;
        event_delivery::Entity::delete_many()
            .filter(event_delivery::Column::TenantId.eq(tenant.as_str()))
            .filter(event_delivery::Column::State.ne(DeliveryState::Pending.as_str()))
            .filter(event_delivery::Column::ExpireTime.lt(now))
            .exec(&tx)
            .await?;
        bury_late(&tx, tenant, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// A first consent that did not come leaves the connection as it was before, and that on record.
    async fn end_late_consents(&self, tx: &DatabaseTransaction, tenant: &TenantId) -> Result<(), Error> {
        use connection::Column;
        let now = self.now();
        let open = sea_orm::sea_query::Query::select()
            .column(authorization::Column::ConnectionId)
            .from(authorization::Entity)
            .and_where(authorization::Column::TenantId.eq(tenant.as_str()))
            .and_where(authorization::Column::ConsumeTime.is_null())
            .and_where(authorization::Column::ExpireTime.gte(now.micros()))
            .to_owned();
        let late = connection::Entity::find()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::State.eq(ConnectionState::Connecting.as_str()))
            .filter(Column::Id.not_in_subquery(open))
            .lock_exclusive()
            .all(tx)
            .await?;
        for model in late {
            let mut event = self.own_event(tenant, Action::CompleteAuthorization)?;
            event.connection = Some(ConnectionId::from_uuid(model.id));
            event.owner_user = owner(&model.tenant_id, &model.owner_user).user().cloned();
            event.provider = Some(ProviderId::from_stored(model.provider.clone()));
            event.outcome = AuditOutcome::Failed;
            event.reason = Some(Reason::StateExpired);
            audit_log::insert(tx, &[event]).await?;
            let revision = model.revision + 1;
            let mut row = model.into_active_model();
            row.state = Set(ConnectionState::Disconnected.as_str().to_owned());
            row.revision = Set(revision);
            row.update_time = Set(now.micros());
            row.update(tx).await?;
        }
        Ok(())
    }

    /// Tenants with consents, deliveries and events whose time is over.
    async fn expired_tenants(&self) -> Result<Vec<String>, Error> {
        let now = self.now().micros();
        let everywhere = self.read_background().await?;
        let mut tenants: Vec<String> = authorization::Entity::find()
            .filter(authorization::Column::ExpireTime.lt(now))
            .select_only()
            .column(authorization::Column::TenantId)
            .distinct()
            .into_tuple()
            .all(&everywhere)
            .await?;
        let deliveries: Vec<String> = webhook_delivery::Entity::find()
            .filter(webhook_delivery::Column::ExpireTime.lt(now))
            .select_only()
            .column(webhook_delivery::Column::TenantId)
            .distinct()
            .into_tuple()
            .all(&everywhere)
            .await?;
        tenants.extend(deliveries);
        let deliveries: Vec<String> = app_delivery::Entity::find()
            .filter(app_delivery::Column::ExpireTime.lt(now))
            .select_only()
            .column(app_delivery::Column::TenantId)
            .distinct()
            .into_tuple()
            .all(&everywhere)
            .await?;
        tenants.extend(deliveries);
        let events: Vec<String> = event_delivery::Entity::find()
            .filter(event_delivery::Column::ExpireTime.lte(now))
            .select_only()
            .column(event_delivery::Column::TenantId)
            .distinct()
            .into_tuple()
            .all(&everywhere)
            .await?;
        tenants.extend(events);
        Ok(tenants)
    }

    async fn background_write(&self, tenant: &TenantId) -> Result<DatabaseTransaction, Error> {
        Ok(session::begin_write(&self.writer(), self.database(), tenant).await?)
    }
}
