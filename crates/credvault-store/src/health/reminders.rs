//! Reminds of a credential that is to be replaced by hand, or that the vault could not replace.

use credvault_domain::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};

use crate::Error;
use crate::change::Change;
use crate::change::outbox::NewEvent;
use crate::credential_rotations::automatic::is_automatic;
use crate::credential_rotations::row::rotation_due;
use crate::entity::connection;
use crate::entity::credential_rotation::Model;

/// Sends the reminder of a locked row, and sets when the next one is due. Whether there was one to send. What is not served
/// is planned anew when it is again.
///
/// # Errors
/// The database fails.
pub(super) async fn remind(change: &mut Change<'_>, row: Model) -> Result<bool, Error> {
    let key = (row.tenant_id.clone(), row.connection_id);
    let connection = connection::Entity::find_by_id(key).one(&change.tx).await?.ok_or(Error::Integrity)?;
    let due = rotation_due(&connection);
    let is_by_hand = due.is_some() && !is_automatic(&change.tx, &connection, &row).await?;
    let due = due.filter(|_| is_by_hand);
    let now = change.now;
    let days = due.and_then(|due| due.due_reminder(now));
    let said = if days.is_some() { Some(now.micros()) } else { row.reminded_time };
    let mut row = row.into_active_model();
    row.reminded_time = Set(said);
    row.warn_time = Set(due.and_then(|due| due.next_reminder(Some(now))).map(Timestamp::micros));
    row.update(&change.tx).await?;
    if let Some((due, days)) = due.zip(days) {
        change.emit(NewEvent::rotation_due(&connection, due.due, days)?);
    }
    Ok(days.is_some())
}
