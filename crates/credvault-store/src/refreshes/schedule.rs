//! When tokens are refreshed: what a new credential, a test and an enabled connection do to the row in `refreshes`.

use credvault_domain::{Grant, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QuerySelect as _,
};

use crate::Error;
use crate::change::Change;
use crate::entity::{connection, refresh, token};
use crate::refreshes::pause::Pause;
use crate::refreshes::row::{IDLE, IN_FLIGHT, idle};

/// When tokens are to be refreshed ahead of need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefreshSchedule {
    /// The time; `None` if they are refreshed only when a caller asks.
    pub due_time: Option<Timestamp>,
    /// With which app the tokens were got, if that is known.
    pub client_id: Option<String>,
    /// When the grant ends that the tokens are refreshed with.
    pub grant: Grant,
}

/// The credential of a locked connection is another one from now on: tokens of the one before are destroyed, and no
/// refresh that is in progress can store what it gets.
pub(crate) async fn invalidate_tokens(
    change: &Change<'_>,
    model: &connection::Model,
    schedule: Option<&RefreshSchedule>,
) -> Result<(), Error> {
    let key = (model.tenant_id.clone(), model.id);
    let due = schedule.as_ref().and_then(|schedule| schedule.due_time);
    let client_id = schedule.as_ref().and_then(|schedule| schedule.client_id.clone());
    match refresh::Entity::find_by_id(key.clone()).lock_exclusive().one(&change.tx).await? {
        Some(row) => {
            let (generation, lease_time) = (row.generation + 1, row.lease_time);
            let mut row = idle(row, generation, due);
            row.client_id = Set(client_id);
            // Until then the provider may still answer: a purge waits for that.
            row.lease_time = Set(lease_time);
            row.update(&change.tx).await?;
            token::Entity::delete_by_id(key).exec(&change.tx).await?;
        }
        None if schedule.is_some() => {
            let row = first_refresh(model, due, client_id);
            refresh::Entity::insert(row).exec_without_returning(&change.tx).await?;
        }
        None => {}
    }
    Ok(())
}

/// The row of a connection that has tokens for the first time.
pub(crate) fn first_refresh(
    model: &connection::Model,
    due: Option<Timestamp>,
    client_id: Option<String>,
) -> refresh::ActiveModel {
    refresh::ActiveModel {
        tenant_id: Set(model.tenant_id.clone()),
        connection_id: Set(model.id),
        generation: Set(1),
        state: Set(IDLE.to_owned()),
        due_time: Set(due.map(Timestamp::micros)),
        retry_time: Set(None),
        failures: Set(0),
        marked: Set(false),
        claim_id: Set(None),
        process_id: Set(None),
        lease_time: Set(None),
        provider: Set(model.provider.clone()),
        client_id: Set(client_id),
        doubted: Set(false),
        unsettled_time: Set(None),
        refused: Set(false),
        refusals: Set(0),
        pause: Set(None),
        pause_app: Set(None),
    }
}

/// Makes a connection's tokens due now, because a caller may want them.
pub(crate) async fn schedule_now(change: &Change<'_>, model: &connection::Model) -> Result<(), Error> {
    use refresh::Column;
    refresh::Entity::update_many()
        .col_expr(Column::DueTime, Expr::value(change.now.micros()))
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::ConnectionId.eq(model.id))
        .filter(Column::DueTime.is_null())
        .exec(&change.tx)
        .await?;
    Ok(())
}

/// Whether a test that works proves the connection whole. An access token says nothing about a refresh token that the
/// provider has refused, in whatever words, nor about one whose last use has an unknown outcome.
pub(crate) fn is_settled_by_test(row: &refresh::Model) -> bool {
    !row.refused && row.state == IDLE && row.unsettled_time.is_none()
}

/// Has an unsettled outcome looked into for the full time again, and at once; but not before a pause is over that binds
/// those who insist, too. What is in progress is left alone.
pub(crate) async fn reconsider(change: &Change<'_>, row: refresh::Model) -> Result<(), Error> {
    if row.state == IN_FLIGHT {
        return Ok(());
    }
    let now = change.now.micros();
    let kept = row.retry_time.filter(|_| Pause::of_row(&row).binds_all());
    let next = kept.map_or(now, |kept| kept.max(now));
    let mut row = row.into_active_model();
    row.due_time = Set(Some(next));
    row.retry_time = Set(Some(next));
    row.unsettled_time = Set(Some(change.store.database_time(&change.tx).await?));
    row.update(&change.tx).await?;
    Ok(())
}
