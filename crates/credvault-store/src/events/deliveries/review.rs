//! What an endpoint's owner does with deliveries: look at them, send one again, try the endpoint.

use credvault_domain::{DeliveryState, EventEndpointId, EventId, TenantId, TenantScope};
use futures::StreamExt as _;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait as _, DatabaseTransaction,
    EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement,
};
use serde_json::json;
use uuid::Uuid;

use super::{ClaimedEvent, EndpointKey, EventDeliveries, EventDelivery, delivery, delivery_name};
use crate::change::{outbox, retrying};
use crate::entity::event_delivery::{Column, Entity};
use crate::entity::event_endpoint;
use crate::events::endpoints::deleted;
use crate::events::lifetime::{DELIVERY_LIFETIME, is_full};
use crate::{Error, EventTarget, Listed, Page, Recorded, Write};

impl EventDeliveries<'_> {
    /// A page of what was or is to be sent to this namespace's endpoints, the newest first.
    ///
    /// # Errors
    /// The tenant is not served, the page token is wrong, or the database fails.
    pub async fn list(
        &self,
        scope: &TenantScope,
        endpoint: Option<EventEndpointId>,
        state: Option<DeliveryState>,
        page: &Page,
    ) -> Result<Listed<EventDelivery>, Error> {
        let reading = self.store.query(scope).await?;
        let before = page.position(scope.tenant(), &reading)?.map(|bytes| position(&bytes)).transpose()?;
        let older = before.map(|(event, endpoint)| {
            let same = Condition::all().add(Column::EventId.eq(event)).add(Column::EndpointId.lt(endpoint));
            Condition::any().add(Column::EventId.lt(event)).add(same)
        });
        let wanted = Condition::all()
            .add(Column::TenantId.eq(scope.tenant().as_str()))
            .add(Column::EndpointId.not_in_subquery(deleted(scope.tenant())))
            .add_option(endpoint.map(|id| Column::EndpointId.eq(id.as_uuid())))
            .add_option(state.map(|state| Column::State.eq(state.as_str())))
            .add_option(older);
        let rows = Entity::find()
            .filter(wanted)
            .order_by_desc(Column::EventId)
            .order_by_desc(Column::EndpointId)
            .limit(page.limit())
            .stream(&reading.tx)
            .await?
            .map(|row| delivery(row?));
        let position = |last: &EventDelivery| {
            [*last.event.as_uuid().as_bytes(), *last.endpoint.as_uuid().as_bytes()].concat()
        };
        page.read(self.store, scope.tenant(), reading.key(), rows, position).await
    }

    /// Sends an event once more, now, and from the beginning of the schedule.
    ///
    /// # Errors
    /// There is no such delivery, its endpoint is disabled, or as many wait for it as may.
    pub async fn retry(
        &self,
        scope: &TenantScope,
        endpoint: EventEndpointId,
        event: EventId,
        write: &Write,
    ) -> Result<Recorded<EventDelivery>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            let tenant = scope.tenant().as_str().to_owned();
            let key = (tenant.clone(), endpoint.as_uuid(), event.as_uuid());
            let row = Entity::find_by_id(key)
                .filter(Column::EndpointId.not_in_subquery(deleted(scope.tenant())))
                .lock_exclusive();
            let row = row.one(&change.tx).await?.ok_or(Error::EventDeliveryNotFound)?;
            change.set_subject(event.as_uuid(), delivery_name(endpoint, event), None);
            if change.prior().is_some() {
                return change.commit(delivery(row)?).await;
            }
            let at = event_endpoint::Entity::find_by_id((tenant, endpoint.as_uuid())).one(&change.tx).await?;
            if !at.is_some_and(|at| at.enabled) {
                return Err(Error::State("the endpoint is disabled; PutEventEndpoint enables it again"));
            }
            if row.due_time.is_none() && full(&change.tx, scope.tenant(), endpoint).await? {
                return Err(Error::State(
                    "10,000 events wait for the endpoint; try again when it has taken some",
                ));
            }
            let mut row = row.into_active_model();
            row.state = Set(DeliveryState::Pending.as_str().to_owned());
            row.attempts = Set(0);
            row.due_time = Set(Some(change.now.micros()));
            row.expire_time = Set(change.now.after(DELIVERY_LIFETIME).micros());
            let again = delivery(row.update(&change.tx).await?)?;
            change.commit(again).await
        })
        .await
    }

    /// An event that only tests an endpoint, enabled or not. It is written nowhere, and so tried once only.
    ///
    /// # Errors
    /// There is no endpoint of that id.
    pub async fn test(
        &self,
        scope: &TenantScope,
        endpoint: EventEndpointId,
    ) -> Result<(EventTarget, ClaimedEvent), Error> {
        let target = self.store.event_endpoints().target(scope, endpoint).await?;
        let tenant = scope.tenant();
        let data = json!({
            "tenant_id": (!tenant.is_platform()).then_some(tenant.as_str()),
            "endpoint_id": endpoint.to_string(),
        });
        let body = outbox::body("endpoint.test", self.store.now(), &data)?;
        let key = EndpointKey { tenant: tenant.clone(), endpoint };
        let event = EventId::from_uuid(self.store.new_id()?);
        let endpoint_time = self.store.now().micros();
        Ok((target, ClaimedEvent { key, endpoint_time, event, body, attempt: 1 }))
    }
}

/// Whether as many events wait for an endpoint as may.
async fn full(tx: &DatabaseTransaction, tenant: &TenantId, endpoint: EventEndpointId) -> Result<bool, Error> {
    let sql = format!("SELECT 1 AS full_already WHERE {}", is_full("$1", "$2"));
    let values = [tenant.as_str().into(), endpoint.as_uuid().into()];
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    Ok(tx.query_one_raw(asked).await?.is_some())
}

/// A position in a listing: event, then endpoint.
fn position(bytes: &[u8]) -> Result<(Uuid, Uuid), Error> {
    let (event, endpoint) = bytes.split_at_checked(16).ok_or(Error::PageToken)?;
    let id = |bytes| Uuid::from_slice(bytes).map_err(|_| Error::PageToken);
    Ok((id(event)?, id(endpoint)?))
}
