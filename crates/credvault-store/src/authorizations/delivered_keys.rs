//! Keys that a provider has delivered for a consent in progress: sealed, and gone as soon as the consent is completed or
//! over.

use credvault_crypto::Context;
use credvault_domain::{SecretFields, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QuerySelect as _,
};

use super::Authorizations;
use crate::authorizations::awaited::AwaitedAuthorization;
use crate::database::tenant_keys::TenantKeys;
use crate::entity::authorization;
use crate::entity::delivered_key::{ActiveModel, Entity, Model};
use crate::sealed::{Sealed, SealedRecord};
use crate::{AuthorizationError, Error};

impl Authorizations<'_> {
    /// Keeps the keys that a provider delivers, once, for a consent that a browser has started and not come back from.
    ///
    /// # Errors
    /// [`Error::Authorization`] if the consent is not one of those, or has its keys already.
    pub async fn deliver_keys(
        &self,
        awaited: &AwaitedAuthorization,
        fields: &SecretFields,
    ) -> Result<(), Error> {
        use authorization::Column as Consent;
        let (store, tenant) = (self.store, &awaited.tenant);
        if let Some(over) = awaited.over {
            return Err(over.into());
        }
        let tx = store.begin_bookkeeping(tenant).await?;
        let key = (tenant.as_str().to_owned(), awaited.state_hash.clone());
        let open = authorization::Entity::find_by_id(key.clone())
            .filter(Consent::BrowserHash.is_not_null())
            .filter(Consent::ReturnTime.is_null())
            .filter(Consent::ConsumeTime.is_null())
            .filter(Consent::ExpireTime.gt(store.now().micros()))
            .lock_exclusive()
            .one(&tx)
            .await?;
        open.ok_or(AuthorizationError::Unknown)?;
        if Entity::find_by_id(key).count(&tx).await? > 0 {
            return Err(AuthorizationError::Replayed.into());
        }
        let sealed = Sealed::seal(fields, awaited.keys.newest(), store.keyring().random(), |schema| {
            Context::handoff(tenant, record_of(&awaited.state_hash), schema)
        })?;
        let row = ActiveModel {
            tenant_id: Set(tenant.as_str().to_owned()),
            state_hash: Set(awaited.state_hash.clone()),
            schema: Set(sealed.schema),
            key_version: Set(sealed.key_version),
            sealed: Set(sealed.bytes),
        };
        Entity::insert(row).exec_without_returning(&tx).await?;
        Ok(tx.commit().await?)
    }

    /// Whether the provider has delivered keys for a consent.
    ///
    /// # Errors
    /// The database fails.
    pub async fn were_keys_delivered(&self, awaited: &AwaitedAuthorization) -> Result<bool, Error> {
        let reading = self.store.read_any(&awaited.tenant).await?;
        let key = (awaited.tenant.as_str().to_owned(), awaited.state_hash.clone());
        Ok(Entity::find_by_id(key).count(&reading.tx).await? > 0)
    }
}

/// Keys out of the table, not opened yet.
pub(crate) struct Kept(Model);

impl Kept {
    /// Opens the keys.
    ///
    /// # Errors
    /// [`Error::Integrity`] if they do not open.
    pub(crate) fn open(&self, keys: &TenantKeys, tenant: &TenantId) -> Result<SecretFields, Error> {
        let Self(model) = self;
        let record =
            SealedRecord { schema: model.schema, key_version: model.key_version, bytes: &model.sealed };
        record.open(tenant, keys, |schema| Context::handoff(tenant, record_of(&model.state_hash), schema))
    }
}

/// Takes the keys of an authorization out of the table, if there are any.
pub(crate) async fn take(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    state_hash: &[u8],
) -> Result<Option<Kept>, Error> {
    let key = (tenant.as_str().to_owned(), state_hash.to_vec());
    let Some(model) = Entity::find_by_id(key.clone()).one(tx).await? else { return Ok(None) };
    Entity::delete_by_id(key).exec(tx).await?;
    Ok(Some(Kept(model)))
}

/// What a sealed value is bound to: half of the hash that its row has as a key.
pub(crate) fn record_of(state_hash: &[u8]) -> [u8; 16] {
    state_hash.first_chunk().copied().unwrap_or_default()
}
