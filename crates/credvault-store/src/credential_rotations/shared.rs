//! Other connections that have the same key: it must not end while one of them serves it.
//!
//! Only connections of the same owner count. A copy that another user stores must neither save a key that has leaked nor show
//! that there is one. They are read before the transaction that decides, in which only their versions are compared: what a
//! version holds does not change.

use std::collections::HashMap;

use credvault_crypto::{Context, SecretStoreError};
use credvault_domain::{ConnectionId, FieldName, SecretFields, TenantId, Version, chain};
use sea_orm::{
    ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _, JoinType, QueryFilter as _,
    QuerySelect as _,
};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::CredentialRotations;
use crate::change::Change;
use crate::credential_rotations::keys::open;
use crate::credentials::binding;
use crate::credentials::current::open_current;
use crate::database::session::Reading;
use crate::entity::connection::{Column, Entity, Model};
use crate::entity::{credential_version, rotated_key};
use crate::sealed::SealedRecord;
use crate::secrets::at_hand::InHand;
use crate::secrets::content::SecretContent;
use crate::{ConnectionKey, Error, Store};

/// Whether another connection of the same owner serves a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeySharing {
    /// No other one serves it.
    Alone,
    /// Another one serves it.
    Shared,
    /// The secret of another one cannot be read at the moment, so it may be this key.
    Unknown,
}

/// Whether two credentials have the same key: all of the fields that a new key changes and that both have are equal.
pub(super) fn is_same_key(one: &SecretFields, other: &SecretFields, names: &[FieldName]) -> bool {
    let pairs = names.iter().filter_map(|name| Some((one.get(name.as_str())?, other.get(name.as_str())?)));
    let equal: Vec<bool> = pairs.map(|(one, other)| one.expose_secret() == other.expose_secret()).collect();
    !equal.is_empty() && equal.into_iter().all(|equal| equal)
}

/// The fields in which a new key differs from the one that it was made with.
pub(super) fn changed_fields(old: &SecretFields, new: &SecretFields) -> Vec<FieldName> {
    let is_new = |(name, value): &(&FieldName, &SecretString)| {
        let before = old.get(name.as_str());
        before.is_none_or(|before| before.expose_secret() != value.expose_secret())
    };
    new.iter().filter(is_new).map(|(name, _)| name.clone()).collect()
}

/// The secret fields of the credential that a connection serves, if there is one.
///
/// # Errors
/// [`Error::Integrity`] if they do not open, or cannot be read where they are kept.
pub(super) async fn serving(
    change: &Change<'_>,
    model: &Model,
    in_hand: &InHand,
) -> Result<Option<SecretFields>, Error> {
    match model.current_version {
        0 => Ok(None),
        _ => {
            let (content, _) = open_current(&change.tx, change.keys()?, model).await?;
            in_hand.fields(&content)?.ok_or(Error::Integrity).map(Some)
        }
    }
}

/// What was found of the other connections of an owner: the version that each serves, and whether that has a key.
#[derive(Default)]
pub(super) struct Elsewhere(HashMap<Uuid, (Version, KeySharing)>);

impl Elsewhere {
    /// Whether one of those that there are now serves the key.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another one has come since, or another version. The database fails.
    pub(super) async fn sharing(&self, tx: &DatabaseTransaction, model: &Model) -> Result<KeySharing, Error> {
        let now: Vec<(Uuid, i64)> = Entity::find()
            .filter(others(model))
            .select_only()
            .columns([Column::Id, Column::CurrentVersion])
            .into_tuple()
            .all(tx)
            .await?;
        let known = |(id, version): &(Uuid, i64)| {
            self.0.get(id).filter(|(known, _)| known == version).map(|(_, sharing)| *sharing)
        };
        let known: Vec<Option<KeySharing>> = now.iter().map(known).collect();
        let sharing = together(known.iter().copied().flatten());
        let has_changed = sharing != KeySharing::Shared && known.contains(&None);
        if has_changed { Err(Error::Conflict) } else { Ok(sharing) }
    }
}

/// Whether one of several serves a key.
fn together(all: impl Iterator<Item = KeySharing>) -> KeySharing {
    all.fold(KeySharing::Alone, |before, next| match (before, next) {
        (KeySharing::Shared, _) | (_, KeySharing::Shared) => KeySharing::Shared,
        (KeySharing::Unknown, _) | (_, KeySharing::Unknown) => KeySharing::Unknown,
        (KeySharing::Alone, KeySharing::Alone) => KeySharing::Alone,
    })
}

impl CredentialRotations<'_> {
    /// Whether another connection of its owner serves the key that a connection has in these fields. `names` are the fields
    /// that a new key changes.
    ///
    /// # Errors
    /// The database fails.
    pub async fn sharing(
        &self,
        key: &ConnectionKey,
        fields: &SecretFields,
        names: &[FieldName],
    ) -> Result<KeySharing, Error> {
        let reading = self.store.read_any(&key.tenant).await?;
        let Some(model) = Entity::find_by_id(key.row_id()).one(&reading.tx).await? else {
            return Ok(KeySharing::Alone);
        };
        let Elsewhere(found) = elsewhere(self.store, reading, &model, (fields, names)).await?;
        Ok(together(found.into_values().map(|(_, sharing)| sharing)))
    }

    /// What other connections serve, compared with the key of this number that is to end. `None` if there is no such key.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the key does not open. The database fails.
    pub(super) async fn elsewhere(
        &self,
        key: &ConnectionKey,
        number: i64,
        names: &[FieldName],
    ) -> Result<Option<Elsewhere>, Error> {
        let reading = self.store.read_any(&key.tenant).await?;
        let (tenant, id) = key.row_id();
        let model = Entity::find_by_id((tenant.clone(), id)).one(&reading.tx).await?;
        let row = rotated_key::Entity::find_by_id((tenant, id, number)).one(&reading.tx).await?;
        let Some((model, row)) = model.zip(row) else { return Ok(None) };
        let fields = open(&reading.keys, &model, &row)?;
        elsewhere(self.store, reading, &model, (&fields, names)).await.map(Some)
    }
}

/// Reads what the other connections of the owner serve, and compares it with a key. No transaction is open while a store is
/// asked, and none is asked once another connection with the key is found.
async fn elsewhere(
    store: &Store,
    reading: Reading,
    model: &Model,
    (fields, names): (&SecretFields, &[FieldName]),
) -> Result<Elsewhere, Error> {
    let contents = contents(&reading, model).await?;
    drop(reading);
    let tenant = TenantId::from_stored(model.tenant_id.clone());
    let mut found = Elsewhere::default();
    let mut is_found = false;
    for (id, version, content) in contents {
        let read = match content {
            None => Err(Error::Integrity),
            Some(content) if !is_found || matches!(content, SecretContent::Fields(_)) => {
                store.fields_of(&tenant, ConnectionId::from_uuid(id), content).await
            }
            // That one decides.
            Some(_) => continue,
        };
        let sharing = match read {
            Ok(serves) if is_same_key(&serves, fields, names) => KeySharing::Shared,
            // What does not open, or is gone, is not served.
            Ok(_)
            | Err(Error::Integrity | Error::SecretStore { problem: SecretStoreError::NotFound, .. }) => {
                KeySharing::Alone
            }
            Err(error) => {
                tracing::info!(connection = %id, error = chain(&error), "a key cannot be compared with this one's");
                KeySharing::Unknown
            }
        };
        is_found |= sharing == KeySharing::Shared;
        found.0.insert(id, (version, sharing));
    }
    Ok(found)
}

/// What the current versions of the other connections hold; `None` for what does not open. Those come first that need no
/// store. One statement reads them, so that what a row says and what is sealed for that belong together.
async fn contents(
    reading: &Reading,
    model: &Model,
) -> Result<Vec<(Uuid, Version, Option<SecretContent>)>, Error> {
    use credential_version::Column as OfVersion;
    let current = Entity::belongs_to(credential_version::Entity)
        .from((Column::TenantId, Column::Id, Column::CurrentVersion))
        .to((OfVersion::TenantId, OfVersion::ConnectionId, OfVersion::Version));
    let found = Entity::find()
        .join(JoinType::LeftJoin, current.into())
        .filter(others(model))
        .select_also(credential_version::Entity)
        .all(&reading.tx)
        .await?;
    let content = |(other, version): (Model, Option<credential_version::Model>)| {
        let content = version.and_then(|version| opened(reading, &other, &version));
        (other.id, other.current_version, content)
    };
    let mut contents: Vec<_> = found.into_iter().map(content).collect();
    contents.sort_by_key(|(_, _, content)| !matches!(content, Some(SecretContent::Fields(_))));
    Ok(contents)
}

/// What a version holds, if it opens. Keys that are replaced have no tokens beside them.
fn opened(reading: &Reading, model: &Model, version: &credential_version::Model) -> Option<SecretContent> {
    let tenant = TenantId::from_stored(model.tenant_id.clone());
    let (id, bound) = (ConnectionId::from_uuid(model.id), binding::of_row(model));
    let bytes = version.sealed.as_deref()?;
    let record = SealedRecord { schema: version.schema, key_version: version.key_version, bytes };
    let opened = record.open_content(&tenant, &reading.keys, |schema| {
        Context::credential(&tenant, id, version.version, schema, bound)
    });
    opened.ok()
}

/// The other connections of the same owner that serve a credential of the same kind. Those of an account that the provider
/// itself has named otherwise are left out.
fn others(model: &Model) -> Condition {
    let of_owner = Condition::all()
        .add(Column::TenantId.eq(model.tenant_id.as_str()))
        .add(Column::OwnerUser.eq(model.owner_user.as_str()))
        .add(Column::Provider.eq(model.provider.as_str()))
        .add(Column::AuthMode.eq(model.auth_mode.as_str()))
        .add(Column::CurrentVersion.gt(0))
        .add(Column::DeleteTime.is_null())
        .add(Column::Id.ne(model.id));
    match &model.confirmed_account_id {
        None => of_owner,
        Some(account) => of_owner.add(
            Condition::any()
                .add(Column::ConfirmedAccountId.is_null())
                .add(Column::ConfirmedAccountId.eq(account.as_str())),
        ),
    }
}
