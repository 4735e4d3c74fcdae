//! Where a provider ends a key by itself because another one was made, and the vault does not know whether one was: the
//! credential that serves may end, so its owner is warned, another key is made as long as it still can, and it is tested when
//! it would have ended.

use std::time::Duration;

use credvault_domain::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait as _;

use crate::Error;
use crate::change::Change;
use crate::change::feed::ChangeKind;
use crate::connections::writer::ConnectionRow;
use crate::entity::{connection, credential_rotation, credential_version};
use crate::health::grant;

/// A call that makes a key may have been sent at `sent`, and its answer was lost: the key before may end by that. The
/// model of the connection is the changed one then.
///
/// # Errors
/// The database fails.
pub(super) async fn doubt_old_key(
    change: &mut Change<'_>,
    model: &mut connection::Model,
    row: &credential_rotation::Model,
    sent: Timestamp,
) -> Result<(), Error> {
    let life = row.old_key_life.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
    let serves = model.delete_time.is_none() && row.version == Some(model.current_version);
    let Some(life) = life.filter(|_| serves && model.current_version > 0) else { return Ok(()) };
    let mut changed = ConnectionRow::new(model.clone());
    if life.is_zero() {
        // Only a test says whether it lives.
        changed.columns.test_time = Set(Some(change.now.micros()));
        *model = changed.save_same_revision(change, ChangeKind::Updated, None).await?;
        return Ok(());
    }
    let id = (model.tenant_id.clone(), model.id, model.current_version);
    let Some(version) = credential_version::Entity::find_by_id(id).one(&change.tx).await? else {
        return Ok(());
    };
    let (end, stored) = (sent.after(life), Timestamp::from_micros(version.create_time));
    // It is served until a test says that it has ended: no key may have been made.
    changed.columns.test_time = Set(Some(end.micros()));
    // The vault makes another key by itself, whatever the connection says about that.
    changed.columns.rotation_due_time = Set(Some(change.now.micros()));
    *model = changed.save(change, ChangeKind::Updated, None).await?;
    if model.expire_time.is_some_and(|expires| expires <= end.micros()) {
        return Ok(());
    }
    grant::cut_short(change, model, end, stored).await
}
