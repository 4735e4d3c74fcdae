//! Putting secrets into external stores.

use credvault_crypto::{PayloadKey, encode_fields};
use credvault_domain::{ConnectionId, SecretFields, TenantId};
use sea_orm::EntityTrait as _;

use super::content::{Placement, SecretContent};
use super::refused::of_put;
use super::{DATABASE, failed, payloads};
use crate::credentials::stored::{NewCredential, NewVersion};
use crate::database::transaction::{Access, begin};
use crate::entity::tenant;
use crate::{Error, Store};

impl Store {
    /// The external store that a tenant's secrets are kept in; none if that is the database.
    pub(crate) async fn secret_store_of(&self, of: &TenantId) -> Result<Option<String>, Error> {
        let tx = begin(&self.reader(), self.database(), Access::Read, of).await?;
        let row = tenant::Entity::find_by_id(of.as_str()).one(&tx).await?;
        tx.rollback().await?;
        let own = row.ok_or_else(|| Error::TenantNotFound(of.clone()))?.secret_store;
        Ok(own.or_else(|| self.settings().secrets.default.clone()).filter(|name| name != DATABASE))
    }

    /// The credential as a change of the connection will store it: where the tenant keeps its secrets in an external store,
    /// the fields are there already. If the change is not made, what was put is removed later.
    ///
    /// # Errors
    /// [`Error::SecretStore`] if the store does not take it. The version before serves on.
    pub(crate) async fn placed(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        credential: &NewCredential,
    ) -> Result<NewVersion, Error> {
        let mut new = NewVersion::from(credential);
        if self.has_secret_stores()
            && let SecretContent::Fields(fields) = &new.content
            && let Some(name) = self.secret_store_of(tenant).await?
        {
            new.content = SecretContent::Placed(self.put_payload(tenant, connection, fields, &name).await?);
        }
        Ok(new)
    }

    /// Puts fields of a connection into a store.
    ///
    /// # Errors
    /// As for [`Store::placed`].
    pub(crate) async fn put_payload(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        fields: &SecretFields,
        name: &str,
    ) -> Result<Placement, Error> {
        let store = self.secret_store(name)?;
        let (payload, random) = (self.new_id()?, self.keyring().random());
        let key = PayloadKey::generate(random)?;
        let place = (tenant, connection, payload.into_bytes());
        let sealed = key.seal(place, &encode_fields(fields)?, random)?;
        payloads::begin(self, tenant, connection, (payload, name)).await?;
        let put = store.put(&connection.to_string(), &payload.to_string(), &sealed).await;
        let reference = put.map_err(of_put).map_err(failed(name))?;
        self.remember_payload(tenant, payload, sealed);
        Ok(Placement { store: name.to_owned(), reference, payload, key })
    }
}
