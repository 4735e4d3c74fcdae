//! Referring to secrets that others keep in an external store.

use credvault_crypto::PayloadKey;
use credvault_domain::{FieldName, SecretFields, TenantScope};

use super::Secrets;
use super::content::Adoption;
use crate::Error;

/// A secret of others, as a caller names it.
#[derive(Clone, Debug)]
pub struct SecretReference {
    /// The name of the store in the settings.
    pub store: String,
    /// The name of the secret in the store.
    pub name: String,
    /// The version; the newest if none is given.
    pub version: Option<String>,
    /// The field that the whole secret is the value of; without one, the secret is a JSON object of fields.
    pub field: Option<FieldName>,
}

impl Secrets<'_> {
    /// Reads a secret that a tenant wants to refer to, if the settings let it. Nothing is stored.
    ///
    /// # Errors
    /// This process has no such store, the tenant may not refer to the secret, or the secret cannot be used.
    pub async fn adopt(
        &self,
        scope: &TenantScope,
        reference: SecretReference,
    ) -> Result<(SecretFields, Adoption), Error> {
        let SecretReference { store, name, version, field } = reference;
        self.store.secret_store(&store).map_err(|_| Error::SecretStoreUnknown)?;
        let key = PayloadKey::generate(self.store.keyring().random())?;
        let adoption = Adoption { store, name, version, field, key };
        let (fields, _) = self.store.read_adopted(scope.tenant(), &adoption).await?;
        Ok((fields, adoption))
    }
}
