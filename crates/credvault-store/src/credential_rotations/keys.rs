//! Rows of `rotated_keys`: keys at providers that do not serve yet, or do not serve any more, sealed until they have ended.

use credvault_crypto::Context;
use credvault_domain::{ConnectionId, SecretFields, TenantId, Timestamp, Version};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _,
};

use crate::Error;
use crate::change::Change;
use crate::credential_rotations::left::{LeftKey, leave};
use crate::credential_rotations::row::{MINTED, find, idle, save};
use crate::credentials::binding;
use crate::database::tenant_keys::TenantKeys;
use crate::entity::rotated_key::{ActiveModel, Column, Entity, Model};
use crate::entity::{connection, credential_rotation};
use crate::sealed::{Sealed, SealedRecord};

/// A new key that is to be tested and served.
pub(crate) const NEW: &str = "MINTED";
/// A new key that is not used, and is to be revoked.
pub(crate) const UNUSED: &str = "UNUSED";
/// A key in whose place another one serves, to be revoked.
pub(crate) const REPLACED: &str = "REPLACED";

/// A key to be kept until it has ended, or serves.
pub(crate) struct Kept<'k> {
    /// What is to become of it.
    pub(crate) role: &'static str,
    /// The version that it replaces, or whose key it was.
    pub(crate) version: Version,
    /// All secret fields of the credential with this key.
    pub(crate) fields: &'k SecretFields,
    /// Its id at the provider, for people.
    pub(crate) key_id: Option<&'k str>,
    /// When it ends by itself.
    pub(crate) expire_time: Option<Timestamp>,
    /// When it is to be tested or revoked.
    pub(crate) due_time: Timestamp,
}

/// Keeps a key of a locked connection, and counts it in the connection's row.
///
/// # Errors
/// It is too large, or the database fails.
pub(crate) async fn keep(
    change: &Change<'_>,
    model: &connection::Model,
    row: &mut credential_rotation::Model,
    key: Kept<'_>,
) -> Result<i64, Error> {
    row.last_number += 1;
    let number = row.last_number;
    let sealed = seal(change, model, (number, key.role, key.version), key.fields)?;
    let kept = ActiveModel {
        tenant_id: Set(model.tenant_id.clone()),
        connection_id: Set(model.id),
        number: Set(number),
        role: Set(key.role.to_owned()),
        version: Set(key.version),
        key_id: Set(key.key_id.map(str::to_owned)),
        expire_time: Set(key.expire_time.map(Timestamp::micros)),
        create_time: Set(change.now.micros()),
        due_time: Set(key.due_time.micros()),
        attempts: Set(0),
        schema: Set(sealed.schema),
        key_version: Set(sealed.key_version),
        sealed: Set(sealed.bytes),
    };
    Entity::insert(kept).exec_without_returning(&change.tx).await?;
    Ok(number)
}

fn seal(
    change: &Change<'_>,
    model: &connection::Model,
    place: (i64, &str, Version),
    fields: &SecretFields,
) -> Result<Sealed, Error> {
    let (id, bound) = (ConnectionId::from_uuid(model.id), binding::of_row(model));
    Sealed::seal(fields, change.key()?, change.store.keyring().random(), |schema| {
        Context::rotated_key(change.tenant(), id, place, schema, bound)
    })
}

/// Opens a key of a connection.
///
/// # Errors
/// [`Error::Integrity`] if it does not open.
pub(crate) fn open(keys: &TenantKeys, model: &connection::Model, row: &Model) -> Result<SecretFields, Error> {
    let tenant = TenantId::from_stored(model.tenant_id.clone());
    let (id, bound) = (ConnectionId::from_uuid(model.id), binding::of_row(model));
    let record = SealedRecord { schema: row.schema, key_version: row.key_version, bytes: &row.sealed };
    let place = (row.number, row.role.as_str(), row.version);
    record.open(&tenant, keys, |schema| Context::rotated_key(&tenant, id, place, schema, bound))
}

/// The new key that waits to be served, if there is one.
///
/// # Errors
/// The database fails.
pub(crate) async fn new_key(change: &Change<'_>, model: &connection::Model) -> Result<Option<Model>, Error> {
    let rows = Entity::find()
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::ConnectionId.eq(model.id))
        .filter(Column::Role.eq(NEW))
        .order_by_desc(Column::Number);
    Ok(rows.one(&change.tx).await?)
}

/// A new key is not used: it is to be revoked at once. What does not open goes, and its id is given back.
///
/// # Errors
/// The database fails.
pub(crate) async fn give_up(
    change: &Change<'_>,
    model: &connection::Model,
    key: Model,
) -> Result<Option<LeftKey>, Error> {
    let id = (key.tenant_id.clone(), key.connection_id, key.number);
    match open(change.keys()?, model, &key) {
        Ok(fields) => {
            let sealed = seal(change, model, (key.number, UNUSED, key.version), &fields)?;
            let mut key = key.into_active_model();
            key.role = Set(UNUSED.to_owned());
            key.due_time = Set(change.now.micros());
            key.schema = Set(sealed.schema);
            key.key_version = Set(sealed.key_version);
            key.sealed = Set(sealed.bytes);
            key.update(&change.tx).await?;
            Ok(None)
        }
        Err(Error::Integrity) => {
            Entity::delete_by_id(id).exec(&change.tx).await?;
            Ok(Some(LeftKey(key.key_id)))
        }
        Err(error) => Err(error),
    }
}

/// A new key is for another version than before, which has the same key as that.
///
/// # Errors
/// The database fails.
pub(crate) async fn for_version(
    change: &Change<'_>,
    model: &connection::Model,
    (key, fields): (Model, &SecretFields),
    version: Version,
) -> Result<Model, Error> {
    let Sealed { schema, key_version, bytes: sealed } =
        seal(change, model, (key.number, NEW, version), fields)?;
    let key = Model { version, schema, key_version, sealed, ..key };
    let id = (key.tenant_id.clone(), key.connection_id, key.number);
    Entity::delete_by_id(id).exec(&change.tx).await?;
    Entity::insert(key.clone().into_active_model().reset_all()).exec_without_returning(&change.tx).await?;
    Ok(key)
}

/// The access of a connection ends: all its keys end now, without an overlap. A rotation in progress stores nothing more.
///
/// # Errors
/// The database fails.
pub(crate) async fn hasten(change: &mut Change<'_>, model: &connection::Model) -> Result<(), Error> {
    let Some(mut row) = find(&change.tx, (model.tenant_id.clone(), model.id)).await? else { return Ok(()) };
    if change.keys().is_ok()
        && let Some(new) = new_key(change, model).await?
        && let Some(left) = give_up(change, model, new).await?
    {
        leave(change, model, &mut row, left)?;
    }
    if row.state == MINTED {
        idle(&mut row);
    }
    due_now(change, model).await?;
    save(change, model, row).await
}

/// The key of a version that was replaced ends now, for the version is destroyed.
///
/// # Errors
/// The database fails.
pub(crate) async fn hasten_version(
    change: &Change<'_>,
    model: &connection::Model,
    version: Version,
) -> Result<(), Error> {
    let Some(row) = find(&change.tx, (model.tenant_id.clone(), model.id)).await? else { return Ok(()) };
    end_now(change, of(model).add(Column::Role.eq(REPLACED)).add(Column::Version.eq(version))).await?;
    save(change, model, row).await
}

/// All keys of a connection that are still to end are to end now.
///
/// # Errors
/// The database fails.
pub(crate) async fn due_now(change: &Change<'_>, model: &connection::Model) -> Result<(), Error> {
    end_now(change, of(model).add(Column::Role.ne(NEW))).await
}

/// When the last of the keys of a connection is to end that are still to; `None` if there is none.
///
/// # Errors
/// The database fails.
pub(crate) async fn last_end(change: &Change<'_>, model: &connection::Model) -> Result<Option<i64>, Error> {
    let last = Entity::find().filter(of(model).add(Column::Role.ne(NEW))).order_by_desc(Column::DueTime);
    Ok(last.one(&change.tx).await?.map(|key| key.due_time))
}

/// The connection leads to another host: what is sealed for the one before is destroyed, and its keys stay there.
///
/// # Errors
/// The database fails.
pub(crate) async fn forget(change: &mut Change<'_>, model: &connection::Model) -> Result<(), Error> {
    let Some(mut row) = find(&change.tx, (model.tenant_id.clone(), model.id)).await? else { return Ok(()) };
    for key in Entity::find().filter(of(model)).order_by_asc(Column::Number).all(&change.tx).await? {
        leave(change, model, &mut row, LeftKey(key.key_id))?;
    }
    Entity::delete_many().filter(of(model)).exec(&change.tx).await?;
    if row.state == MINTED {
        idle(&mut row);
    }
    save(change, model, row).await
}

/// The keys of a connection.
fn of(model: &connection::Model) -> Condition {
    Condition::all().add(Column::TenantId.eq(model.tenant_id.as_str())).add(Column::ConnectionId.eq(model.id))
}

/// Has those of these keys end now that would end later.
async fn end_now(change: &Change<'_>, these: Condition) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::DueTime, Expr::value(change.now.micros()))
        .filter(these.add(Column::DueTime.gt(change.now.micros())))
        .exec(&change.tx)
        .await?;
    Ok(())
}
