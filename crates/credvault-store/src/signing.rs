//! The vault's signing keys: the newest signs, one for all replicas, made when it is first needed, and sealed under the
//! platform's key. Its public half is no secret. Replaced ones stay, for what they have signed: a public half that was put
//! into the database from outside shows in that no private half opens beside it.

use credvault_crypto::{Context, TenantKey, VaultSigner};
use credvault_domain::{Action, AuditEvent, TenantId, TenantScope, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, Select,
};

use crate::change::{Change, retrying};
use crate::database::tenant_keys::TenantKeys;
use crate::entity::signing_key::{ActiveModel, Column, Entity, Model};
use crate::error::violates;
use crate::integrity::alarm;
use crate::{Error, Recorded, Store, Write};

/// The generation of the first key.
const FIRST: i64 = 1;

/// The public half of a key that the vault signs with, or has signed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigningPublicKey {
    /// The name of the key in statements.
    pub id: String,
    /// The key itself: Ed25519, 32 bytes.
    pub public_key: [u8; 32],
    /// When the vault made the key, and began to sign with it.
    pub create_time: Timestamp,
}

impl Store {
    /// The public keys of the vault, the one that signs first. The first call of all makes that one. A replaced key that does
    /// not open is left out, with an alarm.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the key that signs does not open, or the database fails.
    pub async fn signing_keys(&self) -> Result<Vec<SigningPublicKey>, Error> {
        self.signer().await?;
        let reading = self.read_any(&TenantId::platform()).await?;
        let rows = newest_first().all(&reading.tx).await?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            match open(&reading.keys, &row) {
                Ok(signer) => keys.push(public_half(&signer, row.create_time)),
                Err(Error::Integrity) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(keys)
    }

    /// Makes another signing key, which signs from then on. Asks nothing of the one before, which may not open. `platform` is
    /// the platform's own scope.
    ///
    /// # Errors
    /// The platform's key does not open, or the database fails.
    pub async fn replace_signer(
        &self,
        platform: &TenantScope,
        write: &Write,
    ) -> Result<Recorded<SigningPublicKey>, Error> {
        retrying(write, || async move {
            let mut change = self.change(platform, write).await?;
            if let Some(prior) = change.prior() {
                let made = newest_first().filter(Column::Generation.eq(prior.version.unwrap_or(FIRST)));
                let row = made.one(&change.tx).await?.ok_or(Error::Integrity)?;
                let signer = open(change.keys()?, &row)?;
                return change.commit(public_half(&signer, row.create_time)).await;
            }
            let newest = newest_first().one(&change.tx).await?;
            let generation = newest.map_or(FIRST, |row| row.generation + 1);
            // Another replica has made one at this moment: this is another request for one more.
            let signer = insert(&change, generation).await?.ok_or(Error::Conflict)?;
            change.set_subject(self.new_id()?, key_name(&signer), Some(generation));
            let made = public_half(&signer, change.now.micros());
            change.commit(made).await
        })
        .await
    }

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
        let newest = newest_first().one(&reading.tx).await?;
        newest.map(|row| open(&reading.keys, &row)).transpose()
    }

    /// Makes the first key; `None` if there is one by now.
    async fn create_signer(&self) -> Result<Option<VaultSigner>, Error> {
        let platform = TenantId::platform();
        let (mut change, _) = self.own_sealing_change(&platform).await?;
        let Some(signer) = insert(&change, FIRST).await? else { return Ok(None) };
        // What the vault signs is worth as much as this key: a second one must show in the log.
        let record = self.own_event(&platform, Action::GetSigningKey)?;
        change.record(AuditEvent { changed: vec![key_name(&signer)], ..record });
        let _ = change.commit(()).await?;
        tracing::info!(key = signer.key_id(), "the vault has made its signing key");
        Ok(Some(signer))
    }
}

/// All signing keys, the newest first.
fn newest_first() -> Select<Entity> {
    Entity::find().filter(Column::TenantId.eq(TenantId::PLATFORM)).order_by_desc(Column::Generation)
}

/// Makes the key of a generation; `None` if there is one by now.
async fn insert(change: &Change<'_>, generation: i64) -> Result<Option<VaultSigner>, Error> {
    let random = change.store.keyring().random();
    let (signer, seed) = VaultSigner::generate(random)?;
    let (key, public_key) = (change.key()?, signer.public_key());
    let context = Context::signing_key(&public_key, generation);
    let row = ActiveModel {
        tenant_id: Set(change.tenant().as_str().to_owned()),
        generation: Set(generation),
        id: Set(signer.key_id().to_owned()),
        public_key: Set(public_key.to_vec()),
        key_version: Set(i64::from(key.version())),
        sealed: Set(key.seal(&context, &seed, random)?),
        create_time: Set(change.now.micros()),
    };
    match row.insert(&change.tx).await {
        Ok(_) => Ok(Some(signer)),
        Err(error) if violates(&error, "signing_keys_pkey", "signing_keys.generation") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A key as audit records name it.
fn key_name(signer: &VaultSigner) -> String {
    format!("signing_keys/{}", signer.key_id())
}

fn public_half(signer: &VaultSigner, create_time: i64) -> SigningPublicKey {
    SigningPublicKey {
        id: signer.key_id().to_owned(),
        public_key: signer.public_key(),
        create_time: Timestamp::from_micros(create_time),
    }
}

/// The key of a row. It must open, and belong to the public half beside it.
fn open(keys: &TenantKeys, row: &Model) -> Result<VaultSigner, Error> {
    let signer = keys.version(row.key_version).ok_or(Error::Integrity).and_then(|key| signer_of(key, row));
    if matches!(signer, Err(Error::Integrity)) {
        let public_key: [u8; 32] = row.public_key.as_slice().try_into().unwrap_or([0; 32]);
        let context = Context::signing_key(&public_key, row.generation);
        alarm(&TenantId::platform(), context.what(), context.record());
    }
    signer
}

/// The key of a row that is sealed under `key`.
///
/// # Errors
/// [`Error::Integrity`] if it does not open, or does not belong to the public half beside it.
pub(crate) fn signer_of(key: &TenantKey, row: &Model) -> Result<VaultSigner, Error> {
    let public_key: [u8; 32] = row.public_key.as_slice().try_into().map_err(|_| Error::Integrity)?;
    let seed = key.open(&Context::signing_key(&public_key, row.generation), &row.sealed)?;
    let signer = VaultSigner::from_seed(&seed)?;
    let belongs = signer.public_key() == public_key && signer.key_id() == row.id;
    if belongs { Ok(signer) } else { Err(Error::Integrity) }
}
