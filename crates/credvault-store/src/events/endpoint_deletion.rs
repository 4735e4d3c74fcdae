//! Deleting an endpoint with any number of deliveries: a mark hides it at once, and its rows go piece by piece. Upkeep goes on
//! with what a crash leaves.

use std::time::Instant;

use credvault_domain::{EventEndpointId, TenantId, TenantScope};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _, QueryOrder as _, QuerySelect as _,
};

use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::retrying;
use crate::database::pieces::{self, PIECE};
use crate::entity::endpoint_deletion;
use crate::events::endpoints::{EventEndpoints, endpoint_name, locked};
use crate::{Error, Recorded, Store, Write};

impl EventEndpoints<'_> {
    /// Removes an endpoint with its past and pending deliveries. It is invisible once this returns; deliveries that are
    /// left at `until` are removed by upkeep.
    ///
    /// # Errors
    /// There is no endpoint of that id.
    pub async fn delete(
        &self,
        scope: &TenantScope,
        id: EventEndpointId,
        write: &Write,
        until: Instant,
    ) -> Result<Recorded<()>, Error> {
        let begun = retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if change.prior().is_none() {
                let model = locked(&change.tx, scope.tenant(), id).await?;
                let mark = endpoint_deletion::ActiveModel {
                    tenant_id: Set(model.tenant_id.clone()),
                    endpoint_id: Set(model.id),
                    create_time: Set(change.now.micros()),
                };
                mark.insert(&change.tx).await?;
                let mut row = model.into_active_model();
                row.enabled = Set(false);
                row.update_time = Set(change.now.micros());
                row.update(&change.tx).await?;
                change.record_change(ChangeSubject::EventEndpoint(id), ChangeKind::Deleted, None);
            }
            change.set_subject(id.as_uuid(), endpoint_name(id), None);
            change.commit(()).await
        })
        .await?;
        // To callers it is deleted; upkeep removes the remaining rows.
        if let Err(error) = self.store.delete_endpoint(scope.tenant(), id, Some(until)).await {
            tracing::warn!(%error, endpoint = %id, "an endpoint's rows could not be deleted yet");
        }
        Ok(begun)
    }
}

impl Store {
    /// Deletes an endpoint that is marked: its deliveries piece by piece, then itself. `until` is when to leave the rest.
    async fn delete_endpoint(
        &self,
        tenant: &TenantId,
        id: EventEndpointId,
        until: Option<Instant>,
    ) -> Result<(), Error> {
        let marked =
            "EXISTS (SELECT 1 FROM endpoint_deletions m WHERE m.tenant_id = $1 AND m.endpoint_id = $2)";
        let theirs = format!("tenant_id = $1 AND endpoint_id = $2 AND {marked}");
        let piece = pieces::piece(self.database(), "event_deliveries", &theirs);
        let (piece, itself) = (
            format!("DELETE FROM event_deliveries WHERE {piece}"),
            format!("DELETE FROM event_endpoints WHERE tenant_id = $1 AND id = $2 AND {marked}"),
        );
        let values = || [tenant.as_str().into(), id.as_uuid().into()];
        while until.is_none_or(|until| Instant::now() < until) {
            let tx = self.begin_bookkeeping(tenant).await?;
            let left = pieces::execute(&tx, &piece, values()).await? > 0;
            if !left {
                pieces::execute(&tx, &itself, values()).await?;
            }
            tx.commit().await?;
            if !left {
                break;
            }
        }
        Ok(())
    }

    /// Goes on with the deletions that a crash, or the end of a call, left undone.
    pub(crate) async fn finish_endpoint_deletions(&self) -> Result<(), Error> {
        let everywhere = self.read_background().await?;
        let marks = endpoint_deletion::Entity::find()
            .order_by_asc(endpoint_deletion::Column::CreateTime)
            .limit(PIECE)
            .all(&everywhere)
            .await?;
        everywhere.rollback().await?;
        for mark in marks {
            let (tenant, id) =
                (TenantId::from_stored(mark.tenant_id), EventEndpointId::from_uuid(mark.endpoint_id));
            // One that fails must not keep the others: it is tried again the next time.
            if let Err(error) = self.delete_endpoint(&tenant, id, None).await {
                tracing::warn!(%error, %tenant, endpoint = %id, "an endpoint could not be deleted yet");
            }
        }
        Ok(())
    }
}
