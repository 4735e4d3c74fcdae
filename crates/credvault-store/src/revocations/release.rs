//! The end of a connection's credential whose grant its provider may revoke. Every way to end one goes through here: to
//! disconnect, to delete, to purge, and to delete a user. Nothing opens what is destroyed but the sealed copy that the
//! revocation takes, and that goes once the revocation is settled.

use std::time::Duration;

use credvault_crypto::Context;
use credvault_domain::{Config, ConnectionId, Revocation, SecretFields, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use crate::Error;
use crate::change::Change;
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::connections::writer::ConnectionRow;
use crate::credential_rotations::keys::hasten;
use crate::credentials::binding;
use crate::credentials::current::open_current;
use crate::credentials::stored::{destroy_all, disconnect};
use crate::database::transaction::lock_account;
use crate::entity::connection::{Column, Entity, Model};
use crate::entity::revocation;
use crate::sealed::Sealed;
use crate::secrets::content::SecretContent;

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
    let content = if revocable && !shared { open(change, &model).await } else { None };
    destroy_all(change, &model).await?;
    let outcome = match (&content, shared, revocable) {
        (Some(content), _, _) => {
            keep(change, &model, content).await?;
            (Revocation::Pending, Some(first_attempt))
        }
        (None, true, _) => (Revocation::Kept, None),
        (None, false, true) => (Revocation::Failed, None),
        (None, false, false) => (Revocation::Unsupported, None),
    };
    let model = disconnect(change, model, outcome).await?;
    hasten(change, &model).await?;
    change.set_connection(id, Some(version));
    change.record_change(ChangeSubject::Connection(id), ChangeKind::CredentialDestroyed, Some(version));
    Ok(model)
}

/// What the record of the current credential holds. What does not open cannot be revoked, and goes all the same.
async fn open(change: &Change<'_>, model: &Model) -> Option<SecretContent> {
    let keys = change.keys().ok()?;
    open_current(&change.tx, keys, model).await.ok().map(|(content, _)| content)
}

/// Has newer tokens of a grant revoked, which a refresh brought after its connection was disconnected: what was sealed for
/// the revocation, or was sent for it, may have been replaced by them at the provider. `model` is the locked connection,
/// and `version` the one that was refreshed, with the settings `config`: tokens go to the host that they came from, or nowhere.
/// Tells whether they are kept for that; otherwise nothing more is wanted.
///
/// # Errors
/// The database fails.
pub(crate) async fn revoke_late(
    change: &mut Change<'_>,
    model: Model,
    (version, config): (i64, &Config),
    fields: &SecretFields,
) -> Result<bool, Error> {
    let outcome = model.revocation.as_deref().and_then(Revocation::from_stored);
    let is_asked_for = match outcome {
        Some(Revocation::Pending | Revocation::Done | Revocation::Failed) => true,
        Some(Revocation::Unsupported | Revocation::Kept) | None => false,
    };
    // A later credential may hang on the same consent.
    let is_same = model.current_version == 0 && model.last_version == version;
    if !is_asked_for || !is_same || !binding::has_config(&model, config) {
        return Ok(false);
    }
    revocation::Entity::delete_by_id((model.tenant_id.clone(), model.id)).exec(&change.tx).await?;
    keep(change, &model, &SecretContent::Fields(fields.clone())).await?;
    let mut row = ConnectionRow::new(model);
    row.columns.revocation = Set(Some(Revocation::Pending.as_str().to_owned()));
    row.columns.revocation_time = Set(Some(change.now.micros()));
    row.save(change, ChangeKind::Updated, None).await?;
    Ok(true)
}

/// Keeps sealed what a revocation takes. Its generation is the revision that the connection has before its row tells of it:
/// no other one of the connection has the same.
async fn keep(change: &Change<'_>, model: &Model, content: &SecretContent) -> Result<(), Error> {
    let (id, generation) = (ConnectionId::from_uuid(model.id), model.revision);
    let (bound, random) = (binding::of_row(model), change.store.keyring().random());
    let sealed = Sealed::seal_content(content, change.key()?, random, |schema| {
        Context::revocation(change.tenant(), id, generation, schema, bound)
    })?;
    let row = revocation::ActiveModel {
        tenant_id: Set(model.tenant_id.clone()),
        connection_id: Set(model.id),
        generation: Set(generation),
        attempts: Set(0),
        schema: Set(sealed.schema),
        key_version: Set(sealed.key_version),
        sealed: Set(sealed.bytes),
        payload: Set(content.payload()),
    };
    revocation::Entity::insert(row).exec_without_returning(&change.tx).await?;
    Ok(())
}

/// Whether another connection of the same owner has a credential of the same account at the same provider. Only an
/// account that the provider itself named counts, and only connections that the caller reaches as it reaches this one:
/// what others write about theirs must neither save a grant nor show that they have one.
///
/// Connections of one account end one after the other: else two that end at the same moment would each take the other for
/// one that lives, and none would have the grant revoked. A transaction locks its connection first and the account second,
/// and waits for no row of the account after that, so two of them cannot wait for each other.
async fn shares_grant(change: &Change<'_>, model: &Model) -> Result<bool, Error> {
    let Some(account) = &model.confirmed_account_id else { return Ok(false) };
    let of_account = [&model.tenant_id, &model.provider, &model.owner_user, account];
    let of_account = of_account.map(String::as_str).join("\n");
    lock_account(&change.tx, change.store.database(), &of_account).await?;
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
