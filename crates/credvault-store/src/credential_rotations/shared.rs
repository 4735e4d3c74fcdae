//! Other connections that have the same key: it must not end while one of them serves it.
//!
//! Only connections of the same owner count. A copy that another user stores must neither save a key that has leaked nor show
//! that there is one.

use std::collections::BTreeMap;

use credvault_domain::{ConnectionId, FieldName, SecretFields};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use super::CredentialRotations;
use crate::change::Change;
use crate::credentials::current::open_current;
use crate::entity::connection::{Column, Entity, Model};
use crate::secrets::at_hand::{InHand, Wanted};
use crate::{ConnectionKey, Error};

/// Whether two credentials have the same key: all of the fields that a new key changes and that both have are equal.
pub(super) fn is_same_key(one: &SecretFields, other: &SecretFields, names: &[FieldName]) -> bool {
    let pairs = names.iter().filter_map(|name| Some((one.get(name.as_str())?, other.get(name.as_str())?)));
    let equal: Vec<bool> = pairs.map(|(one, other)| one.expose_secret() == other.expose_secret()).collect();
    !equal.is_empty() && equal.into_iter().all(|equal| equal)
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

/// What was read of other connections before a transaction began.
pub(super) type OthersInHand = BTreeMap<Uuid, InHand>;

/// Whether another connection of the same owner serves this key. What does not open, or is gone, is not served.
///
/// # Errors
/// [`Error::Conflict`] if another connection has changed since [`CredentialRotations::bring_others_to_hand`]. The database
/// fails.
pub(super) async fn is_shared(
    change: &Change<'_>,
    model: &Model,
    (fields, names): (&SecretFields, &[FieldName]),
    in_hand: &OthersInHand,
) -> Result<bool, Error> {
    let unread = InHand::default();
    for other in others(&change.tx, model).await? {
        match serving(change, &other, in_hand.get(&other.id).unwrap_or(&unread)).await {
            Ok(Some(serving)) if is_same_key(&serving, fields, names) => return Ok(true),
            Ok(_) | Err(Error::Integrity | Error::NoCredential) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

impl CredentialRotations<'_> {
    /// Reads what [`is_shared`] will need of external stores.
    pub(super) async fn bring_others_to_hand(&self, key: &ConnectionKey) -> Result<OthersInHand, Error> {
        let mut in_hand = OthersInHand::new();
        if !self.store.has_secret_stores() {
            return Ok(in_hand);
        }
        let reading = self.store.read_any(&key.tenant).await?;
        let Some(model) = Entity::find_by_id(key.row_id()).one(&reading.tx).await? else {
            return Ok(in_hand);
        };
        let others = others(&reading.tx, &model).await?;
        drop(reading);
        for other in others {
            let connection = ConnectionId::from_uuid(other.id);
            let key = ConnectionKey { tenant: key.tenant.clone(), connection };
            in_hand.insert(other.id, self.store.bring_to_hand(&key, Wanted::Current).await?);
        }
        Ok(in_hand)
    }
}

/// The other connections of the same owner that serve a credential of the same kind. Those of an account that the provider
/// itself has named otherwise are left out.
async fn others(tx: &DatabaseTransaction, model: &Model) -> Result<Vec<Model>, Error> {
    let others = Entity::find()
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::OwnerUser.eq(model.owner_user.as_str()))
        .filter(Column::Provider.eq(model.provider.as_str()))
        .filter(Column::AuthMode.eq(model.auth_mode.as_str()))
        .filter(Column::CurrentVersion.gt(0))
        .filter(Column::DeleteTime.is_null())
        .filter(Column::Id.ne(model.id));
    let mut others = others.all(tx).await?;
    let account = model.confirmed_account_id.as_ref();
    others.retain(|other| match (account, &other.confirmed_account_id) {
        (Some(account), Some(other)) => account == other,
        (Some(_) | None, Some(_) | None) => true,
    });
    Ok(others)
}
