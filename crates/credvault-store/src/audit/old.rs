//! Records that an earlier release has written to `audit_events` and that are not moved into their log yet.

use credvault_domain::{Reach, TenantId, TenantScope};
use futures::TryStreamExt as _;
use sea_orm::sea_query::ExprTrait as _;
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement,
};
use uuid::Uuid;

use super::filter::AuditFilter;
use super::journal::lowest_id;
use super::record::{AuditRecord, of_row};
use crate::Error;
use crate::entity::audit_event::{self, Column};

/// Up to which id the records of a tenant were moved.
async fn position(tx: &DatabaseTransaction, tenant: &TenantId) -> Result<Uuid, Error> {
    let sql = "SELECT position FROM audit_moves WHERE tenant_id = $1";
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [tenant.as_str().into()]);
    let row = tx.query_one_raw(asked).await?;
    Ok(row.map(|row| row.try_get("", "position")).transpose()?.unwrap_or(Uuid::nil()))
}

/// The newest records in a scope's reach that were not moved, at most `limit`.
pub(super) async fn newest(
    tx: &DatabaseTransaction,
    (scope, filter): (&TenantScope, &AuditFilter),
    before: Uuid,
    limit: Option<u64>,
) -> Result<Vec<AuditRecord>, Error> {
    let moved = position(tx, scope.tenant()).await?;
    let condition = condition(scope, filter).add(Column::Id.gt(moved)).add(Column::Id.lt(before));
    let found = audit_event::Entity::find().filter(condition).order_by_desc(Column::Id).limit(limit);
    let rows = found.stream(tx).await?;
    rows.map_err(Error::from).and_then(|row| std::future::ready(of_row(row))).try_collect().await
}

fn condition(scope: &TenantScope, filter: &AuditFilter) -> Condition {
    // Record ids begin with their millisecond, so the primary key finds the time range.
    let reached = match scope.reach() {
        Reach::User(user) => Some(Column::UserId.eq(user.as_str())),
        Reach::Shared => Some(Column::UserId.is_null().and(Column::OwnerUser.is_null())),
        Reach::AllUsers => None,
    };
    Condition::all()
        .add(Column::TenantId.eq(scope.tenant().as_str()))
        .add_option(reached)
        .add_option(
            filter
                .start_time
                .map(|time| Column::Id.gte(lowest_id(time)).and(Column::Time.gte(time.micros()))),
        )
        .add_option(filter.end_time.map(|time| Column::Time.lt(time.micros())))
        .add_option(filter.service.as_ref().map(|service| Column::Service.eq(service.as_str())))
        .add_option(filter.user.as_ref().map(|user| Column::UserId.eq(user.as_str())))
        .add_option(filter.action.map(|action| Column::Action.eq(action.as_str())))
        .add_option(filter.connection.map(|id| Column::ConnectionId.eq(id.as_uuid())))
        .add_option(filter.provider.as_ref().map(|provider| Column::Provider.eq(provider.as_str())))
        .add_option(filter.outcome.map(|outcome| Column::Outcome.eq(outcome.as_str())))
}

/// Whether a record was written by an earlier release and is not moved yet.
pub(super) async fn is_to_move(tx: &DatabaseTransaction, tenant: &TenantId, id: Uuid) -> Result<bool, Error> {
    if id <= position(tx, tenant).await? {
        return Ok(false);
    }
    let key = (tenant.as_str().to_owned(), id);
    Ok(audit_event::Entity::find_by_id(key).one(tx).await?.is_some())
}
