//! Giving up what was not delivered: it is dead, stays on the list for a while, and can be sent again by hand.

use std::time::Duration;

use credvault_domain::{DeliveryState, TenantId, TenantState, Timestamp};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query, SelectStatement};
use sea_orm::{ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _, QueryFilter as _};

use super::{EndpointKey, at};
use crate::Error;
use crate::database::pieces::PIECE;
use crate::entity::event_delivery::{Column, Entity};
use crate::entity::tenant;
use crate::events::lifetime::DEAD_MEMORY;

/// The failure of a delivery whose endpoint is disabled, because it answered 410 Gone to another delivery.
const DISABLED: &str = "the endpoint is disabled";
/// The failure of a delivery that expired before its first attempt.
const LATE: &str = "the endpoint failed for other events until this one expired";

/// Gives up a piece of what was not delivered in its time, of a tenant that is served, and tells how much that was.
pub(crate) async fn bury_late(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<u64, Error> {
    let late = Condition::all()
        .add(Column::TenantId.eq(tenant.as_str()))
        .add(Column::TenantId.not_in_subquery(suspended()))
        .add(Column::TenantId.not_in_subquery(patient(now)))
        .add(Column::ExpireTime.lte(now.micros()));
    let late = late.clone().add(Column::EventId.in_subquery(piece_of(late)));
    bury(tx, late, now, Expr::col(Column::Failure).if_null(LATE)).await
}

/// Gives up a piece of what waits at an endpoint that is disabled.
pub(super) async fn bury_at(
    tx: &DatabaseTransaction,
    key: &EndpointKey,
    now: Timestamp,
) -> Result<u64, Error> {
    let piece = at(key).add(Column::EventId.in_subquery(piece_of(at(key))));
    bury(tx, piece, now, Expr::value(DISABLED)).await
}

/// The ids of a piece of those of `which` that are still to be sent.
pub(super) fn piece_of(which: Condition) -> SelectStatement {
    Query::select()
        .column(Column::EventId)
        .from(Entity)
        .cond_where(which)
        .and_where(Column::DueTime.is_not_null())
        .limit(PIECE)
        .to_owned()
}

/// Tenants whose events have more time than their own, for they were suspended.
pub(super) fn patient(now: Timestamp) -> SelectStatement {
    Query::select()
        .column(tenant::Column::TenantId)
        .from(tenant::Entity)
        .and_where(tenant::Column::DeliveryGraceTime.gt(now.micros()))
        .to_owned()
}

/// Tenants that are not served.
fn suspended() -> SelectStatement {
    Query::select()
        .column(tenant::Column::TenantId)
        .from(tenant::Entity)
        .and_where(tenant::Column::State.eq(TenantState::Suspended.as_str()))
        .to_owned()
}

/// Gives up those of `which` that were still to be sent, and tells how many that were.
async fn bury(
    tx: &DatabaseTransaction,
    which: Condition,
    now: Timestamp,
    failure: Expr,
) -> Result<u64, Error> {
    let buried = Entity::update_many()
        .col_expr(Column::State, Expr::value(DeliveryState::Dead.as_str()))
        .col_expr(Column::DueTime, Expr::value(None::<i64>))
        .col_expr(Column::ExpireTime, forgotten(now, DEAD_MEMORY))
        .col_expr(Column::Failure, failure)
        .filter(which)
        .filter(Column::State.eq(DeliveryState::Pending.as_str()))
        .exec(tx)
        .await?;
    metrics::counter!("credvault_event_deliveries_total", "outcome" => "dead")
        .increment(buried.rows_affected);
    Ok(buried.rows_affected)
}

/// When what is settled now is forgotten: at once if it is about a user who was deleted.
pub(super) fn forgotten(now: Timestamp, memory: Duration) -> Expr {
    let deleted = Expr::col(Column::UserDeleted).eq(true);
    Expr::case(deleted, Expr::value(now.micros())).finally(Expr::value(now.after(memory).micros())).into()
}
