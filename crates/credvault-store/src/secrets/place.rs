//! Putting secrets into external stores.

use credvault_crypto::{PayloadKey, SecretStoreError, encode_fields};
use credvault_domain::{SecretFields, TenantId};
use sea_orm::EntityTrait as _;

use super::content::Placement;
use super::refused::of_put;
use super::{failed, payloads};
use crate::database::transaction::{Access, begin};
use crate::entity::tenant;
use crate::{ConnectionKey, Error, Store};

/// What fits into every store, sealed. A store may refuse more than this whatever room there is, so nothing makes way for it.
const FITTING_BYTES: usize = 48_000;

impl Store {
    /// The external store that a tenant's secrets are kept in; none if that is the database.
    pub(crate) async fn secret_store_of(&self, of: &TenantId) -> Result<Option<String>, Error> {
        let tx = begin(&self.reader(), self.database(), Access::Read, of).await?;
        let row = tenant::Entity::find_by_id(of.as_str()).one(&tx).await?;
        tx.rollback().await?;
        let own = row.ok_or_else(|| Error::TenantNotFound(of.clone()))?.secret_store;
        Ok(self.secret_store_for(own.as_deref()).map(str::to_owned))
    }

    /// Puts fields of a connection into a store; `by_itself` unless the process tends the connection at the moment. If the
    /// store is full, the oldest payload of the connection that no record refers to makes room.
    ///
    /// # Errors
    /// [`Error::SecretStore`] if the store does not take it.
    pub(crate) async fn put_payload(
        &self,
        key: &ConnectionKey,
        fields: &SecretFields,
        name: &str,
        by_itself: bool,
    ) -> Result<Placement, Error> {
        let store = self.secret_store(name)?;
        if !store.is_asked() {
            let why = "it has not answered the last calls, and was not asked".to_owned();
            return Err(failed(name)(SecretStoreError::Unavailable(why)));
        }
        let (tenant, connection) = (&key.tenant, key.connection);
        let (payload, random) = (self.new_id()?, self.keyring().random());
        let payload_key = PayloadKey::generate(random)?;
        let place = (tenant, connection, payload.into_bytes());
        let sealed = payload_key.seal(place, &encode_fields(fields)?, random)?;
        payloads::begin(self, tenant, connection, (payload, name), by_itself).await?;
        let ids = (connection.to_string(), payload.to_string());
        let mut put = store.put(&ids.0, &ids.1, &sealed).await;
        if matches!(put, Err(SecretStoreError::Full(_)))
            && sealed.len() <= FITTING_BYTES
            && self.secrets().make_room(key, name).await?
        {
            put = store.put(&ids.0, &ids.1, &sealed).await;
        }
        match put.map_err(of_put) {
            Ok(reference) => {
                self.remember_payload(tenant, payload, sealed);
                Ok(Placement { store: name.to_owned(), reference, payload, key: payload_key })
            }
            Err(problem) => {
                self.forget_refused(key, (payload, name), &problem).await;
                Err(failed(name)(problem))
            }
        }
    }
}
