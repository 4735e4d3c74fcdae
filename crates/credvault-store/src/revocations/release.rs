//! The end of a connection's credential whose grant its provider may revoke. Every way to end one goes through here: to
//! disconnect, to delete, to purge, and to delete a user. Nothing opens what is destroyed but the sealed copy that the
//! revocation takes, and that goes once the revocation is settled.

use std::time::Duration;

use credvault_crypto::Context;
use credvault_domain::{ConnectionId, Revocation, SecretFields, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use crate::Error;
use crate::change::Change;
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::credential_rotations::keys::hasten;
use crate::credentials::binding;
use crate::credentials::current::open_current;
use crate::credentials::stored::{destroy_all, disconnect};
use crate::entity::connection::{Column, Entity, Model};
use crate::entity::revocation;
use crate::sealed::Sealed;

/// How long after the first attempt the second is made.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// Destroys every secret of a locked connection that has a credential. If its provider can revoke the grant (`revocable`),
/// what that takes stays sealed until it is settled, and the job that revokes asks from `first_attempt` on.
///
/// # Errors
/// The state machine refuses, or the database fails.
pub(crate) async fn end_credential(
    change: &mut Change<'_>,
    model: Model,
    revocable: bool,
    first_attempt: Timestamp,
) -> Result<Model, Error> {
    let (id, version) = (ConnectionId::from_uuid(model.id), model.current_version);
    // Connections of one account may hang on one grant: the last of them has it revoked.
    let shared = revocable && shares_grant(change, &model).await?;
    let fields = if revocable && !shared { open(change, &model).await } else { None };
    destroy_all(change, &model).await?;
    let outcome = match (&fields, shared, revocable) {
        (Some(fields), _, _) => {
            keep(change, &model, fields).await?;
            (Revocation::Pending, Some(first_attempt))
        }
        (None, true, _) => (Revocation::Kept, None),
        (None, false, true) => (Revocation::Failed, None),
        (None, false, false) => (Revocation::Unsupported, None),
    };
    let model = disconnect(change, model, Some(outcome)).await?;
    hasten(change, &model).await?;
    change.set_connection(id, Some(version));
    change.record_change(ChangeSubject::Connection(id), ChangeKind::CredentialDestroyed, Some(version));
    Ok(model)
}

/// The fields of the current credential. What does not open cannot be revoked, and goes all the same.
async fn open(change: &Change<'_>, model: &Model) -> Option<SecretFields> {
    let keys = change.keys().ok()?;
    open_current(&change.tx, keys, model).await.ok().map(|(fields, _)| fields)
}

/// Keeps sealed what a revocation takes.
async fn keep(change: &Change<'_>, model: &Model, fields: &SecretFields) -> Result<(), Error> {
    let (id, version) = (ConnectionId::from_uuid(model.id), model.current_version);
    let (bound, random) = (binding::of_row(model), change.store.keyring().random());
    let sealed = Sealed::seal(fields, change.key()?, random, |schema| {
        Context::revocation(change.tenant(), id, version, schema, bound)
    })?;
    let row = revocation::ActiveModel {
        tenant_id: Set(model.tenant_id.clone()),
        connection_id: Set(model.id),
        generation: Set(version),
        attempts: Set(0),
        schema: Set(sealed.schema),
        key_version: Set(sealed.key_version),
        sealed: Set(sealed.bytes),
    };
    revocation::Entity::insert(row).exec_without_returning(&change.tx).await?;
    Ok(())
}

/// Whether another connection of the same owner has a credential of the same account at the same provider. Only an
/// account that the provider itself named counts, and only connections that the caller reaches as it reaches this one:
/// what others write about theirs must neither save a grant nor show that they have one.
async fn shares_grant(change: &Change<'_>, model: &Model) -> Result<bool, Error> {
    let Some(account) = &model.confirmed_account_id else { return Ok(false) };
    let others = Entity::find()
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::Provider.eq(model.provider.as_str()))
        .filter(Column::OwnerUser.eq(model.owner_user.as_str()))
        .filter(Column::ConfirmedAccountId.eq(account.as_str()))
        .filter(Column::AuthMode.eq(model.auth_mode.as_str()))
        .filter(Column::CurrentVersion.gt(0))
        .filter(Column::DeleteTime.is_null())
        .filter(Column::Id.ne(model.id));
    Ok(others.count(&change.tx).await? > 0)
}
