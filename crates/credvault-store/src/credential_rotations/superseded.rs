//! A key that the vault has made, and in whose place a caller stores or rolls back to another one while the key before it is
//! still accepted: it is kept until it has ended at the provider, too. Later, a key that is superseded by hand is for a
//! person to delete: the caller may have given it away.

use credvault_domain::Timestamp;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use crate::Error;
use crate::change::Change;
use crate::credential_rotations::keys::{Kept, REPLACED, UNUSED, keep};
use crate::credential_rotations::left::{LeftKey, leave};
use crate::credential_rotations::row::{find, save};
use crate::credentials::current::open_current;
use crate::entity::connection;
use crate::entity::rotated_key::{Column, Entity, Model};
use crate::secrets::content::SecretContent;

/// The current version of a locked connection is superseded. If a rotation has made its key and the key before is still to be
/// revoked, it is revoked as long after this as that one was to be after the rotation. One that is kept in an external store
/// is left at the provider instead. The answer is whether there is anything of rotations to be planned anew.
///
/// # Errors
/// The database fails.
pub(crate) async fn keep_superseded(
    change: &mut Change<'_>,
    model: &connection::Model,
) -> Result<bool, Error> {
    let Some(mut row) = find(&change.tx, (model.tenant_id.clone(), model.id)).await? else {
        return Ok(false);
    };
    let Some(before) = replaced(change, model).await? else { return Ok(true) };
    let opened = open_current(&change.tx, change.keys()?, model).await;
    match opened {
        Ok((SecretContent::Fields(fields), _)) => {
            let [from, to] = [before.create_time, before.due_time].map(Timestamp::from_micros);
            let key = Kept {
                role: UNUSED,
                version: model.current_version,
                fields: &fields,
                key_id: None,
                expire_time: None,
                due_time: change.now.after(from.until(to)),
            };
            keep(change, model, &mut row, key).await?;
        }
        // No store is asked in a transaction.
        Ok((SecretContent::Placed(_) | SecretContent::Adopted(_), _)) | Err(_) => {
            leave(change, model, &mut row, LeftKey(None))?
        }
    }
    save(change, model, row).await.map(|()| true)
}

/// The key that the current one has replaced, if it is still to be revoked.
async fn replaced(change: &Change<'_>, model: &connection::Model) -> Result<Option<Model>, Error> {
    if model.current_version == 0 {
        return Ok(None);
    }
    let newest = Entity::find()
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::ConnectionId.eq(model.id))
        .filter(Column::Role.eq(REPLACED))
        .order_by_desc(Column::Version);
    // A rotation that supersedes the current one has kept it already.
    Ok(newest.one(&change.tx).await?.filter(|key| key.version == model.current_version - 1))
}
