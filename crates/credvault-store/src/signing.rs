//! The vault's signing key: one for all replicas, made when it is first needed, and sealed under the platform's key. Its
//! public half is no secret.

use credvault_crypto::{Context, VaultSigner};
use credvault_domain::{Action, AuditEvent, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use crate::database::tenant_keys::TenantKeys;
use crate::entity::signing_key::{ActiveModel, Column, Entity, Model};
use crate::error::violates;
use crate::integrity::alarm;
use crate::{Error, Store};

/// The generation of the first key.
const FIRST: i64 = 1;

impl Store {
    /// The vault's signing key. The first call of all makes it; of several replicas that do so at once, one wins.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the stored key does not open, or the database fails.
    pub async fn signer(&self) -> Result<VaultSigner, Error> {
        if let Some(signer) = self.stored_signer().await? {
            return Ok(signer);
        }
        match self.create_signer().await? {
            Some(signer) => Ok(signer),
            // Another replica was first.
            None => self.stored_signer().await?.ok_or(Error::Conflict),
        }
    }

    async fn stored_signer(&self) -> Result<Option<VaultSigner>, Error> {
        let platform = TenantId::platform();
        let reading = self.read_any(&platform).await?;
        let newest = Entity::find()
            .filter(Column::TenantId.eq(platform.as_str()))
            .order_by_desc(Column::Generation)
            .one(&reading.tx)
            .await?;
        newest.map(|row| open(&reading.keys, &row)).transpose()
    }

    /// Makes the first key; `None` if there is one by now.
    async fn create_signer(&self) -> Result<Option<VaultSigner>, Error> {
        let platform = TenantId::platform();
        let (signer, seed) = VaultSigner::generate(self.keyring().random())?;
        let (mut change, _) = self.own_sealing_change(&platform).await?;
        let (key, public_key) = (change.key()?, signer.public_key());
        let context = Context::signing_key(&public_key, FIRST);
        let row = ActiveModel {
            tenant_id: Set(platform.as_str().to_owned()),
            generation: Set(FIRST),
            id: Set(signer.key_id().to_owned()),
            public_key: Set(public_key.to_vec()),
            key_version: Set(i64::from(key.version())),
            sealed: Set(key.seal(&context, &seed, self.keyring().random())?),
            create_time: Set(self.now().micros()),
        };
        match row.insert(&change.tx).await {
            Ok(_) => {
                // What the vault signs is worth as much as this key: a second one must show in the log.
                let record = self.own_event(&platform, Action::GetSigningKey)?;
                change.record(AuditEvent {
                    changed: vec![format!("signing_keys/{}", signer.key_id())],
                    ..record
                });
                let _ = change.commit(()).await?;
                tracing::info!(key = signer.key_id(), "the vault has made its signing key");
                Ok(Some(signer))
            }
            Err(error) if violates(&error, "signing_keys_pkey", "signing_keys.generation") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The key of a row. It must open, and belong to the public half beside it.
fn open(keys: &TenantKeys, row: &Model) -> Result<VaultSigner, Error> {
    let public_key: [u8; 32] = row.public_key.as_slice().try_into().map_err(|_| Error::Integrity)?;
    let context = Context::signing_key(&public_key, row.generation);
    let opened = || -> Result<VaultSigner, Error> {
        let seed = keys.version(row.key_version).ok_or(Error::Integrity)?.open(&context, &row.sealed)?;
        let signer = VaultSigner::from_seed(&seed)?;
        let belongs = signer.public_key() == public_key && signer.key_id() == row.id;
        if belongs { Ok(signer) } else { Err(Error::Integrity) }
    };
    let signer = opened();
    if matches!(signer, Err(Error::Integrity)) {
        alarm(&TenantId::platform(), context.what(), context.record());
    }
    signer
}
