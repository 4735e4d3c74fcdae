//! What is due, and putting it off.

use std::collections::HashSet;

use credvault_domain::{ConnectionId, ProviderId, TenantId, TenantState, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _, Func, Query};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
};
use uuid::Uuid;

use super::{AppKey, Due, Place, Refreshes, find};
use crate::Error;
use crate::entity::{refresh, tenant};
use crate::session::begin_write;

impl Refreshes<'_> {
    /// What is due, the most urgent first. What is a suspended tenant's waits.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due(&self, limit: u64, without: &HashSet<AppKey>) -> Result<Vec<Due>, Error> {
        use refresh::Column;
        let everywhere = self.store.read_background().await?;
        let of_app = |app: &AppKey| {
            // Compared as a text: a NULL would make the whole condition unknown, and leave rows out.
            let client = Func::coalesce([Expr::col(Column::ClientId), Expr::val("")]);
            let named = app.client_id.as_deref().unwrap_or_default();
            Condition::all().add(Column::Provider.eq(app.provider.as_str())).add(Expr::expr(client).eq(named))
        };
        let suspended = Query::select()
            .column(tenant::Column::TenantId)
            .from(tenant::Entity)
            .and_where(tenant::Column::State.eq(TenantState::Suspended.as_str()))
            .to_owned();
        let excluded = without.iter().map(of_app).fold(Condition::any(), Condition::add);
        let rows: Vec<(String, Uuid, i64, String, Option<String>)> = refresh::Entity::find()
            .filter(Column::DueTime.lte(self.store.now().micros()))
            .apply_if((!without.is_empty()).then_some(excluded), |query, excluded| {
                query.filter(excluded.not())
            })
            .filter(Column::TenantId.not_in_subquery(suspended))
            .order_by_asc(Column::DueTime)
            .limit(limit)
            .select_only()
            .columns([
                Column::TenantId,
                Column::ConnectionId,
                Column::Generation,
                Column::Provider,
                Column::ClientId,
            ])
            .into_tuple()
            .all(&everywhere)
            .await?;
        let due = |(tenant, id, generation, provider, client_id)| {
            let (tenant, connection) = (TenantId::from_stored(tenant), ConnectionId::from_uuid(id));
            let app = AppKey { provider: ProviderId::from_stored(provider), client_id };
            Due { place: Place { tenant, connection }, generation, app }
        };
        Ok(rows.into_iter().map(due).collect())
    }

    /// Puts what is due off until an instant, unless it has changed meanwhile.
    ///
    /// # Errors
    /// The database fails.
    pub async fn postpone(&self, place: &Place, seen: i64, until: Timestamp) -> Result<(), Error> {
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        use refresh::Column;
        refresh::Entity::update_many()
            .col_expr(Column::DueTime, Expr::value(until.micros()))
            .filter(Column::TenantId.eq(place.tenant.as_str()))
            .filter(Column::ConnectionId.eq(place.connection.as_uuid()))
            .filter(Column::Generation.eq(seen))
            .filter(Column::DueTime.lt(until.micros()))
            .exec(&tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Takes what cannot be renewed now from what is due, until its next attempt if there is to be one, unless it has
    /// changed meanwhile.
    ///
    /// # Errors
    /// The database fails.
    pub async fn put_off(&self, place: &Place, seen: i64) -> Result<(), Error> {
        let tx = begin_write(&self.store.writer(), self.store.database(), &place.tenant).await?;
        if let Some(row) = find(&tx, place).await?.filter(|row| row.generation == seen) {
            let retry = row.retry_time.filter(|retry| *retry > self.store.now().micros());
            let mut row = row.into_active_model();
            row.due_time = Set(retry);
            row.update(&tx).await?;
        }
        Ok(tx.commit().await?)
    }
}
