//! Ending authorizations that came too late.

use credvault_domain::{Action, AuditOutcome, ConnectionId, ProviderId, Reason, StateChange, TenantId};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};

use crate::change::feed::ChangeKind;
use crate::connections::row::owner;
use crate::connections::writer::ConnectionRow;
use crate::database::pieces::PIECE;
use crate::entity::authorization;
use crate::entity::connection::{Column, Entity};
use crate::{Error, Recorded, Store};

impl Store {
    /// A first consent that did not come leaves the connection as it was before, and that on record.
    pub(crate) async fn end_late_consents(&self, tenant: &TenantId) -> Result<(), Error> {
        while self.end_late_consents_piece(tenant).await? == PIECE {}
        Ok(())
    }

    async fn end_late_consents_piece(&self, tenant: &TenantId) -> Result<u64, Error> {
        let mut change = self.own_change(tenant).await?;
        let open = Query::select()
            .column(authorization::Column::ConnectionId)
            .from(authorization::Entity)
            .and_where(authorization::Column::TenantId.eq(tenant.as_str()))
            .and_where(authorization::Column::ConsumeTime.is_null())
            .and_where(authorization::Column::ExpireTime.gte(change.now.micros()))
            .to_owned();
        let late = Entity::find()
            .filter(Column::TenantId.eq(tenant.as_str()))
            // Spelled out, so that the index over just these is used.
            .filter(Expr::cust("state = 'CONNECTING'"))
            .filter(Column::Id.not_in_subquery(open))
            .limit(PIECE)
            .lock_exclusive()
            .all(&change.tx)
            .await?;
        let ended = late.len();
        for model in late {
            let mut record = self.own_event(tenant, Action::CompleteAuthorization)?;
            record.connection = Some(ConnectionId::from_uuid(model.id));
            record.owner_user = owner(&model.tenant_id, &model.owner_user).user().cloned();
            record.provider = Some(ProviderId::from_stored(model.provider.clone()));
            record.outcome = AuditOutcome::Failed;
            record.reason = Some(Reason::StateExpired);
            change.record(record);
            let mut row = ConnectionRow::new(model);
            row.transition(StateChange::AuthorizationEnded)?;
            row.save(&mut change, ChangeKind::Updated, None).await?;
        }
        let ended = u64::try_from(ended).unwrap_or(u64::MAX);
        change.commit(ended).await.map(Recorded::into_inner)
    }
}
