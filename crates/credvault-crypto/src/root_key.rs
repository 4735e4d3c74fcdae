//! A root key and its uses: to wrap the keys of tenants and of backups, and to prove that it belongs to a database. It is either 32 bytes in
//! this process, never written anywhere, or a key in a key manager, which does the wrapping there.

use std::sync::Arc;

use credvault_domain::{Random, TenantId};
use ring::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use crate::backup_stream::BackupKey;
use crate::context::Context;
use crate::envelope::{self, KeyBytes};
use crate::key_manager::{KeyManager, Versioning};
use crate::mac::sha256;
use crate::managed;
use crate::tenant_key::{KeyVersion, TenantKey};
use crate::{Error, Opened};

/// A key that wraps the keys of tenants and of backups. It seals nothing else but its own check value.
pub struct RootKey {
    id: u32,
    kind: &'static str,
    holder: Holder,
}

/// Who has the key.
enum Holder {
    /// This process holds the bytes.
    Local(KeyBytes),
    /// A key manager holds it.
    Managed(Arc<dyn KeyManager>),
}

/// The plaintext of the check value.
const CHECK: &[u8] = b"credvault root key check";

impl RootKey {
    /// A key of 32 bytes that a source of this kind gave.
    pub(crate) fn local(bytes: KeyBytes, kind: &'static str) -> Self {
        let prk = Salt::new(HKDF_SHA256, &[]).extract(bytes.as_slice());
        let mut derived = [0; 32];
        envelope::hkdf_expand(&prk, &[b"credvault/1/root id"], &mut derived);
        Self { id: first_four(derived), kind, holder: Holder::Local(bytes) }
    }

    /// The key of a key manager. Its id is derived from kind and name, for the key itself is not to be had.
    pub(crate) fn managed(manager: Arc<dyn KeyManager>) -> Self {
        let name =
            [b"credvault/1/managed root id/", manager.kind().as_bytes(), b"/", manager.key_name().as_bytes()];
        Self { id: first_four(sha256(&name)), kind: manager.kind(), holder: Holder::Managed(manager) }
    }

    /// A short public id. It is stored with each tenant key, to tell which root key wrapped it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The kind of source that it comes from.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The name of the key in its key manager; empty if the process holds it.
    pub fn name(&self) -> &str {
        match &self.holder {
            Holder::Local(_) => "",
            Holder::Managed(manager) => manager.key_name(),
        }
    }

    /// Whether a key manager holds it, so that each use is a call over the network.
    pub fn is_managed(&self) -> bool {
        matches!(self.holder, Holder::Managed(_))
    }

    /// Makes the value that is stored in the database and that only this root key opens.
    ///
    /// # Errors
    /// There is no randomness, or the key manager fails.
    pub async fn check_value(&self, random: &dyn Random) -> Result<Vec<u8>, Error> {
        self.seal(&Context::root_check(), CHECK, random).await
    }

    /// Checks that this root key made `check_value`.
    ///
    /// # Errors
    /// [`Error::RootKeyMismatch`] if another key made it; [`Error::KeyManager`] if that cannot be found out now.
    pub async fn prove(&self, check_value: &[u8]) -> Result<(), Error> {
        match self.open(&Context::root_check(), check_value).await {
            Ok(value) if value.as_slice() == CHECK => Ok(()),
            Ok(_) | Err(Error::Integrity) => Err(Error::RootKeyMismatch),
            Err(error) => Err(error),
        }
    }

    /// Asks for a new version of the key, with which everything is wrapped from then on.
    ///
    /// # Errors
    /// The key manager fails.
    pub async fn add_version(&self) -> Result<Versioning, Error> {
        match &self.holder {
            Holder::Local(_) => Ok(Versioning::ByHand(LOCAL)),
            Holder::Managed(manager) => {
                manager.add_version().await.map_err(|error| managed::failed(&**manager, error))
            }
        }
    }

    /// Asks for the end of all versions but the newest. What they wrapped, in backups too, never opens again.
    ///
    /// # Errors
    /// The key manager fails.
    pub async fn destroy_older_versions(&self) -> Result<Versioning, Error> {
        match &self.holder {
            Holder::Local(_) => Ok(Versioning::ByHand(LOCAL)),
            Holder::Managed(manager) => {
                manager.destroy_older_versions().await.map_err(|error| managed::failed(&**manager, error))
            }
        }
    }

    /// Asks whether there may be versions before the newest that [`RootKey::destroy_older_versions`] ends.
    ///
    /// # Errors
    /// The key manager fails.
    pub async fn find_older_versions(&self) -> Result<Versioning, Error> {
        match &self.holder {
            Holder::Local(_) => Ok(Versioning::ByHand(LOCAL)),
            Holder::Managed(manager) => {
                manager.find_older_versions().await.map_err(|error| managed::failed(&**manager, error))
            }
        }
    }

    pub(crate) async fn wrap(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        random: &dyn Random,
    ) -> Result<Vec<u8>, Error> {
        self.seal(&Context::tenant_key(tenant, key.version()), key.bytes(), random).await
    }

    pub(crate) async fn unwrap(
        &self,
        tenant: &TenantId,
        version: KeyVersion,
        wrapped: &[u8],
    ) -> Result<TenantKey, Error> {
        let opened = self.open(&Context::tenant_key(tenant, version), wrapped).await?;
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        if opened.len() != bytes.len() {
            return Err(Error::Integrity);
        }
        bytes.copy_from_slice(&opened);
        Ok(TenantKey::new(version, bytes))
    }

    pub(crate) async fn wrap_backup_key(
        &self,
        key: &BackupKey,
        random: &dyn Random,
    ) -> Result<Vec<u8>, Error> {
        self.seal(&Context::backup_key(), key.bytes(), random).await
    }

    pub(crate) async fn unwrap_backup_key(&self, wrapped: &[u8]) -> Result<BackupKey, Error> {
        BackupKey::from_unwrapped(&self.open(&Context::backup_key(), wrapped).await?)
    }

    async fn seal(&self, context: &Context<'_>, value: &[u8], random: &dyn Random) -> Result<Vec<u8>, Error> {
        match &self.holder {
            Holder::Local(bytes) => envelope::seal(bytes, self.id, context, value, random),
            Holder::Managed(manager) => managed::seal(&**manager, self.id, context, value, random).await,
        }
    }

    async fn open(&self, context: &Context<'_>, sealed: &[u8]) -> Result<Opened, Error> {
        match &self.holder {
            Holder::Local(bytes) => envelope::open(bytes, self.id, context, sealed),
            Holder::Managed(manager) => managed::open(&**manager, self.id, context, sealed).await,
        }
    }
}

/// What to do with a key that has no versions.
const LOCAL: &str = "a root key outside of a key manager has no versions: make another key, configure it as \
                     other_root_key, and rotate to it";

fn first_four(digest: [u8; 32]) -> u32 {
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d])
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RootKey({:08x}, {})", self.id, self.kind)
    }
}
