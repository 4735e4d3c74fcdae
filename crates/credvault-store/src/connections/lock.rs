//! Finding and locking rows of `connections`.

use credvault_domain::{ConnectionId, Etag, TenantScope};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    QuerySelect as _,
};

use crate::change::Change;
use crate::connections::row::visible;
use crate::entity::connection::{Column, Entity, Model};
use crate::{ConnectionKey, Error};

/// Why a deleted connection is refused.
pub(crate) const DELETED: &str = "the connection is deleted; UndeleteConnection brings it back";

/// Locks a row that the scope reaches, until the end of the change, and makes it the subject of the change.
///
/// # Errors
/// There is no such row, or it has another etag.
pub(crate) async fn locked(
    change: &mut Change<'_>,
    scope: &TenantScope,
    id: ConnectionId,
    etag: Option<Etag>,
) -> Result<Model, Error> {
    let query = Entity::find().filter(visible(scope).add(Column::Id.eq(id.as_uuid())));
    let model = query.lock_exclusive().one(&change.tx).await?.ok_or(Error::ConnectionNotFound)?;
    if etag.is_some_and(|etag| etag.revision() != model.revision) {
        return Err(Error::EtagMismatch);
    }
    change.set_connection(id, None);
    change.set_owner(&model.owner_user);
    Ok(model)
}

/// The same for a row that must not be deleted.
///
/// # Errors
/// As for [`locked`]; it is deleted.
pub(crate) async fn locked_live(
    change: &mut Change<'_>,
    scope: &TenantScope,
    id: ConnectionId,
    etag: Option<Etag>,
) -> Result<Model, Error> {
    let model = locked(change, scope, id, etag).await?;
    match model.delete_time {
        None => Ok(model),
        Some(_) => Err(Error::State(DELETED)),
    }
}

/// The same for a row that must be deleted.
///
/// # Errors
/// As for [`locked`]; it is not deleted.
pub(crate) async fn locked_deleted(
    change: &mut Change<'_>,
    scope: &TenantScope,
    id: ConnectionId,
    etag: Option<Etag>,
) -> Result<Model, Error> {
    let model = locked(change, scope, id, etag).await?;
    match model.delete_time {
        Some(_) => Ok(model),
        None => Err(Error::State("the connection is not deleted; DeleteConnection comes first")),
    }
}

/// Locks a row by its key, for the vault's own work.
///
/// # Errors
/// The database fails.
pub(crate) async fn locked_at(tx: &DatabaseTransaction, key: &ConnectionKey) -> Result<Option<Model>, Error> {
    Ok(Entity::find_by_id(key.row_id()).lock_exclusive().one(tx).await?)
}

/// A row that the scope reaches, deleted or not.
///
/// # Errors
/// [`Error::ConnectionNotFound`] if there is none.
pub(crate) async fn find<C: ConnectionTrait>(
    db: &C,
    scope: &TenantScope,
    id: ConnectionId,
) -> Result<Model, Error> {
    let query = Entity::find().filter(visible(scope).add(Column::Id.eq(id.as_uuid())));
    query.one(db).await?.ok_or(Error::ConnectionNotFound)
}

/// Rows of a scope that are not deleted.
pub(crate) fn live(scope: &TenantScope) -> Condition {
    visible(scope).add(Column::DeleteTime.is_null())
}

/// Rows that are not deleted, with the owner and provider of `model`. One of them is the default.
pub(crate) fn siblings(scope: &TenantScope, model: &Model) -> Condition {
    live(scope)
        .add(Column::OwnerUser.eq(model.owner_user.as_str()))
        .add(Column::Provider.eq(model.provider.as_str()))
}
