//! Keys that a provider has handed over for a consent in progress: sealed, and gone as soon as the consent is completed
//! or over.

use credvault_crypto::{Context, FIELDS_SCHEMA, encode_fields};
use credvault_domain::{SecretFields, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QuerySelect as _,
};

use crate::authorizations::{Authorizations, AwaitedAuthorization};
use crate::credentials::open_sealed;
use crate::database::session::begin_write;
use crate::entity::handoff::{ActiveModel, Entity, Model};
use crate::entity::{authorization, tenant_key};
use crate::{AuthorizationError, Error, Store};

impl Authorizations<'_> {
    /// Keeps what a provider hands over, once, for a consent that a browser has started and not come back from.
    ///
    /// # Errors
    /// [`Error::Authorization`] if the consent is not one of those, or has its keys already.
    pub async fn hand_over(
        &self,
        awaited: &AwaitedAuthorization,
        fields: &SecretFields,
    ) -> Result<(), Error> {
        use authorization::Column as Consent;
        let (store, tenant) = (self.store, &awaited.tenant);
        if let Some(over) = awaited.over {
            return Err(over.into());
        }
        let tx = begin_write(&store.writer(), store.database(), tenant).await?;
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
        let context = Context::handoff(tenant, record(&awaited.state_hash), FIELDS_SCHEMA);
        let row = ActiveModel {
            tenant_id: Set(tenant.as_str().to_owned()),
            state_hash: Set(awaited.state_hash.clone()),
            schema: Set(i64::from(FIELDS_SCHEMA)),
            key_version: Set(i64::from(awaited.key.version())),
            sealed: Set(awaited.key.seal(&context, &encode_fields(fields)?, store.keyring().random())?),
        };
        Entity::insert(row).exec_without_returning(&tx).await?;
        Ok(tx.commit().await?)
    }

    /// Whether the provider has handed over keys for a consent.
    ///
    /// # Errors
    /// The database fails.
    pub async fn was_handed_over(&self, awaited: &AwaitedAuthorization) -> Result<bool, Error> {
        let (reading, _) = self.store.read_any(&awaited.tenant).await?;
        let key = (awaited.tenant.as_str().to_owned(), awaited.state_hash.clone());
        Ok(Entity::find_by_id(key).count(&reading.tx).await? > 0)
    }
}

/// Keys out of the table, not opened yet.
pub(crate) struct Kept {
    model: Model,
    wrapped: Vec<u8>,
}

impl Kept {
    pub(crate) fn open(&self, store: &Store, tenant: &TenantId) -> Result<SecretFields, Error> {
        let Self { model, wrapped } = self;
        let key = (model.key_version, wrapped.as_slice());
        open_sealed(store, tenant, model.schema, &model.sealed, key, |schema| {
            Context::handoff(tenant, record(&model.state_hash), schema)
        })
    }
}

/// Takes the keys of a consent out of the table, if there are any.
pub(crate) async fn take(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    state_hash: &[u8],
) -> Result<Option<Kept>, Error> {
    let key = (tenant.as_str().to_owned(), state_hash.to_vec());
    let Some(model) = Entity::find_by_id(key.clone()).one(tx).await? else { return Ok(None) };
    Entity::delete_by_id(key).exec(tx).await?;
    let wrapped = tenant_key::Entity::find_by_id((model.tenant_id.clone(), model.key_version));
    let wrapped = wrapped.one(tx).await?.ok_or(Error::Integrity)?.wrapped;
    Ok(Some(Kept { model, wrapped }))
}

/// What a sealed value is bound to: half of the hash that its row has as a key.
fn record(state_hash: &[u8]) -> [u8; 16] {
    state_hash.first_chunk().copied().unwrap_or_default()
}
