//! Ending authorizations that came too late.

use credvault_domain::{Action, AuditOutcome, ConnectionId, ProviderId, Reason, StateChange, TenantId};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _, Statement,
};

use crate::change::feed::ChangeKind;
use crate::connections::row::owner;
use crate::connections::writer::ConnectionRow;
use crate::database::pieces::{PIECE, piece};
use crate::entity::authorization;
use crate::entity::connection::{Column, Entity};
use crate::{Error, ProviderOutcome, Recorded, Store};

impl Store {
    /// A first consent that did not come leaves the connection as it was before, and that on record.
    pub(crate) async fn end_late_consents(&self, tenant: &TenantId) -> Result<(), Error> {
        while self.end_late_consents_piece(tenant).await? == PIECE {}
        Ok(())
    }

    /// Counts the consents of a tenant that were not completed before `expired`, each once: it is used up with that.
    pub(crate) async fn count_expired_consents(&self, tenant: &TenantId, expired: i64) -> Result<(), Error> {
        let unused = "tenant_id = $1 AND expire_time < $2 AND consume_time IS NULL";
        let sql = format!(
            "UPDATE authorizations SET consume_time = expire_time WHERE {}
             RETURNING (SELECT provider FROM connections c
                WHERE c.tenant_id = authorizations.tenant_id AND c.id = authorizations.connection_id) AS provider",
            piece(self.database(), "authorizations", unused)
        );
        loop {
            let tx = self.begin_bookkeeping(tenant).await?;
            let values = [tenant.as_str().into(), expired.into()];
            let statement = Statement::from_sql_and_values(tx.get_database_backend(), &sql, values);
            let rows = tx.query_all_raw(statement).await?;
            tx.commit().await?;
            for row in &rows {
                let provider = ProviderId::from_stored(row.try_get("", "provider")?);
                self.count_outcome(tenant, &provider, ProviderOutcome::ConsentExpired);
            }
            if rows.is_empty() {
                return Ok(());
            }
        }
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
