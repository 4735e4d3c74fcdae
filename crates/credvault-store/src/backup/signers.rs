//! The keys that the vault of a backup has signed with, which say that a list of erasures is of the same vault.

use std::collections::BTreeMap;
use std::sync::Arc;

use credvault_crypto::{Keyring, TenantKey};
use credvault_domain::TenantId;

use super::error::BackupError;
use super::manifest::TableItem;
use super::row::{integer, text};
use super::verify::{place, value};
use crate::entity::signing_key::Model;
use crate::signing::signer_of;

/// The platform's keys and what is sealed under them, as a backup has both.
#[derive(Default)]
pub(super) struct Signers {
    /// The wrapped keys by version.
    wrapped: BTreeMap<i64, Vec<u8>>,
    rows: Vec<Model>,
}

impl Signers {
    /// Notes the platform's rows of a table.
    ///
    /// # Errors
    /// They are not of the table's shape.
    pub(super) fn note(&mut self, table: &TableItem, rows: &[Vec<u8>]) -> Result<(), BackupError> {
        let at = |name| place(table, name);
        for row in rows {
            if table.name == "tenant_keys" {
                let version = integer(value(row, at("version")?)?)?;
                self.wrapped.insert(version, value(row, at("wrapped")?)?.to_vec());
            } else {
                self.rows.push(Model {
                    tenant_id: text(value(row, at("tenant_id")?)?)?.to_owned(),
                    generation: integer(value(row, at("generation")?)?)?,
                    id: text(value(row, at("id")?)?)?.to_owned(),
                    public_key: value(row, at("public_key")?)?.to_vec(),
                    key_version: integer(value(row, at("key_version")?)?)?,
                    sealed: value(row, at("sealed")?)?.to_vec(),
                    create_time: integer(value(row, at("create_time")?)?)?,
                });
            }
        }
        Ok(())
    }

    /// The public keys whose private halves open. Another one may have been put into the database past the vault.
    ///
    /// # Errors
    /// A key manager fails.
    pub(super) async fn opened(&self, keyring: &Keyring) -> Result<Vec<[u8; 32]>, BackupError> {
        let mut public_keys = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            if let Some(key) = self.key(keyring, row.key_version).await?
                && let Ok(signer) = signer_of(&key, row)
            {
                public_keys.push(signer.public_key());
            }
        }
        Ok(public_keys)
    }

    /// A key of the platform; `None` if the backup has no such version, or it does not unwrap.
    async fn key(&self, keyring: &Keyring, version: i64) -> Result<Option<Arc<TenantKey>>, BackupError> {
        let (Some(wrapped), Ok(number)) = (self.wrapped.get(&version), u32::try_from(version)) else {
            return Ok(None);
        };
        match keyring.unwrap(&TenantId::platform(), number, wrapped).await {
            Ok(key) => Ok(Some(key)),
            Err(credvault_crypto::Error::Integrity | credvault_crypto::Error::RootKeyMissing { .. }) => {
                Ok(None)
            }
            Err(error) => Err(BackupError::RootKey(error)),
        }
    }
}
