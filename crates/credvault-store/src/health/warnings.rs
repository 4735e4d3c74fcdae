//! Warns of a grant that ends soon.

use std::time::Duration;

use credvault_domain::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};

use crate::Error;
use crate::change::Change;
use crate::change::outbox::NewEvent;
use crate::entity::connection;
use crate::entity::connection_health::Model;
use crate::health::grant::life;

/// When a deleted connection is looked at again, for it may be undeleted.
const DELETED_REST: Duration = Duration::from_secs(24 * 3600);

/// Sends the warning of a locked row, and sets when the next one is due. Whether there was one to send.
///
/// # Errors
/// The database fails.
pub(super) async fn warn(change: &mut Change<'_>, row: Model) -> Result<bool, Error> {
    let key = (row.tenant_id.clone(), row.connection_id);
    let connection = connection::Entity::find_by_id(key).one(&change.tx).await?.ok_or(Error::Integrity)?;
    let life = life(&row)?;
    let served = connection.delete_time.is_none() && connection.current_version > 0;
    let next = match life.filter(|_| served) {
        Some(life) => life.next_warning(change.now),
        None => Some(change.now.after(DELETED_REST)).filter(|_| life.is_some()),
    };
    let due = life.filter(|_| served).and_then(|life| life.due_warning(change.now).zip(life.end()));
    let mut row = row.into_active_model();
    row.warn_time = Set(next.map(Timestamp::micros));
    row.update(&change.tx).await?;
    if let Some((days, end)) = due {
        change.emit(NewEvent::expiring(&connection, end, days)?);
    }
    Ok(due.is_some())
}
