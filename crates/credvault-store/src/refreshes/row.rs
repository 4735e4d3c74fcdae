//! Rows of `refreshes`: how the refresh of a connection stands.

use credvault_domain::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::{DatabaseTransaction, EntityTrait as _, IntoActiveModel as _, QuerySelect as _};

use crate::entity::refresh;
use crate::{ConnectionKey, Error};

/// No refresh is in progress.
pub(crate) const IDLE: &str = "IDLE";
/// A process has claimed a refresh.
pub(crate) const IN_FLIGHT: &str = "IN_FLIGHT";
/// A request was sent, and its outcome is not known.
pub(crate) const UNCERTAIN: &str = "UNCERTAIN";

/// Locks the row of a connection, if its tokens can be refreshed.
///
/// # Errors
/// The database fails.
pub(crate) async fn find(
    tx: &DatabaseTransaction,
    key: &ConnectionKey,
) -> Result<Option<refresh::Model>, Error> {
    Ok(refresh::Entity::find_by_id(key.row_id()).lock_exclusive().one(tx).await?)
}

/// The row with no refresh in progress and nothing left of the attempts before.
pub(crate) fn idle(row: refresh::Model, generation: i64, due: Option<Timestamp>) -> refresh::ActiveModel {
    let mut row = row.into_active_model();
    row.generation = Set(generation);
    row.state = Set(IDLE.to_owned());
    row.due_time = Set(due.map(Timestamp::micros));
    row.retry_time = Set(None);
    row.failures = Set(0);
    row.marked = Set(false);
    row.claim_id = Set(None);
    row.process_id = Set(None);
    row.lease_time = Set(None);
    row.doubted = Set(false);
    row.unsettled_time = Set(None);
    row.refused = Set(false);
    row.refusals = Set(0);
    row.pause = Set(None);
    row.pause_app = Set(None);
    row
}
