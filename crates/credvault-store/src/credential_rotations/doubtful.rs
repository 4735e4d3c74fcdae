//! Where a provider ends a key by itself because another one was made, and the vault does not know whether one was: the
//! credential that serves may end, so its owner is warned, it is tested, and another key is made as long as it still can.

use std::time::Duration;

use credvault_domain::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};

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
    let end = sent.after(life).micros().min(model.expire_time.unwrap_or(i64::MAX));
    let stored = Timestamp::from_micros(version.create_time);
    let mut version = version.into_active_model();
    version.expire_time = Set(Some(end));
    version.update(&change.tx).await?;
    changed.columns.expire_time = Set(Some(end));
    changed.columns.test_time = Set(Some(end));
    // The vault makes another key by itself, whatever the connection says about that.
    changed.columns.rotation_due_time = Set(Some(change.now.micros()));
    *model = changed.save(change, ChangeKind::Updated, None).await?;
    grant::cut_short(change, model, Timestamp::from_micros(end), stored).await
}
