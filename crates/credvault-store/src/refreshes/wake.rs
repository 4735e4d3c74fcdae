//! Ending the pauses that an app has caused, once another app is stored: in pieces that can be taken up again.

use std::collections::BTreeMap;

use credvault_domain::{ConnectionId, ProviderId, TenantId};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::Refreshes;
use crate::Error;
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::entity::refresh::{Column, Entity};
use crate::refreshes::row::IN_FLIGHT;

/// The most connections that are woken in one transaction.
const MAX_WOKEN_AT_ONCE: u64 = 500;

impl Refreshes<'_> {
    /// Makes what waits for an app at a provider due now: a tenant's, or where `tenant` is the platform, every tenant's. In
    /// pieces; what is left when this ends early is due when its pause is over, and a caller who needs it finds the new
    /// app before that.
    ///
    /// # Errors
    /// The database fails.
    pub async fn wake_waiting_for_app(&self, tenant: &TenantId, provider: &ProviderId) -> Result<(), Error> {
        // From row to row, so that each is woken once: one that the new app does not serve either waits again.
        let mut last: Option<(String, Uuid)> = None;
        loop {
            let everywhere = self.store.read_background().await?;
            let beyond = last.take().map(|(tenant, id)| {
                let same = Condition::all()
                    .add(Column::TenantId.eq(tenant.as_str()))
                    .add(Column::ConnectionId.gt(id));
                Condition::any().add(Column::TenantId.gt(tenant)).add(same)
            });
            let own = (!tenant.is_platform()).then(|| Column::TenantId.eq(tenant.as_str()));
            let rows: Vec<(String, Uuid)> = Entity::find()
                .filter(waiting(provider).add_option(own).add_option(beyond))
                .order_by_asc(Column::TenantId)
                .order_by_asc(Column::ConnectionId)
                .limit(MAX_WOKEN_AT_ONCE)
                .select_only()
                .columns([Column::TenantId, Column::ConnectionId])
                .into_tuple()
                .all(&everywhere)
                .await?;
            everywhere.rollback().await?;
            last = rows.last().cloned();
            let mut by_tenant = BTreeMap::<String, Vec<Uuid>>::new();
            for (tenant, id) in rows {
                by_tenant.entry(tenant).or_default().push(id);
            }
            if by_tenant.is_empty() {
                return Ok(());
            }
            for (tenant, ids) in by_tenant {
                self.wake(&TenantId::from_stored(tenant), provider, ids).await?;
            }
        }
    }

    async fn wake(&self, tenant: &TenantId, provider: &ProviderId, ids: Vec<Uuid>) -> Result<(), Error> {
        let mut change = self.store.own_change(tenant).await?;
        let now = change.now.micros();
        // What is in progress is due by its lease, and its end says what comes next.
        let under_way = Expr::col(Column::State).eq(IN_FLIGHT);
        let due: Expr = Expr::case(under_way, Expr::col(Column::DueTime)).finally(Expr::value(now)).into();
        Entity::update_many()
            .col_expr(Column::DueTime, due)
            .col_expr(Column::RetryTime, Expr::value(None::<i64>))
            .col_expr(Column::Pause, Expr::value(None::<String>))
            .col_expr(Column::PauseApp, Expr::value(None::<String>))
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::ConnectionId.is_in(ids.iter().copied()))
            // Since they were found, some may have been refreshed, or wait for something else.
            .filter(waiting(provider))
            .exec(&change.tx)
            .await?;
        // A fetch said until now that it is no use to ask before the pause is over.
        for id in ids {
            let subject = ChangeSubject::Connection(ConnectionId::from_uuid(id));
            change.record_change(subject, ChangeKind::Updated, None);
        }
        let _ = change.commit(()).await?;
        Ok(())
    }
}

/// What waits for an app at a provider.
fn waiting(provider: &ProviderId) -> Condition {
    Condition::all().add(Column::PauseApp.is_not_null()).add(Column::Provider.eq(provider.as_str()))
}
