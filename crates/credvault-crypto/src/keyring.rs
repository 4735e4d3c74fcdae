//! The root key and a cache of unwrapped tenant keys. Reads and writes no database: the caller hands in wrapped keys.

use std::sync::Arc;

use credvault_domain::{Random, TenantId};
use zeroize::Zeroizing;

use crate::{Error, KeyVersion, RootKey, TenantKey};

/// Unwraps tenant keys, and caches the most used of them.
///
/// A cached key is used only for the wrapped bytes that it was unwrapped from, and the caller has just read these from
/// the database. Once the database holds other bytes or none, the cached key is never used again, so the cache needs no
/// invalidation.
pub struct Keyring {
    root: RootKey,
    random: Arc<dyn Random>,
    unwrapped: moka::sync::Cache<(TenantId, KeyVersion), Arc<Unwrapped>>,
}

struct Unwrapped {
    wrapped: Vec<u8>,
    key: Arc<TenantKey>,
}

impl Keyring {
    /// The number of cached keys; each takes about 900 bytes.
    const MAX_CACHED_KEYS: u64 = 10_000;

    /// A keyring that unwraps with `root`.
    pub fn new(root: RootKey, random: Arc<dyn Random>) -> Self {
        Self { root, random, unwrapped: moka::sync::Cache::new(Self::MAX_CACHED_KEYS) }
    }

    /// The root key that wraps all tenant keys.
    pub fn root(&self) -> &RootKey {
        &self.root
    }

    /// Takes the root key out and drops the cache.
    pub fn into_root(self) -> RootKey {
        self.root
    }

    /// The random generator that this keyring seals with.
    pub fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// Generates a key for a tenant and wraps it for storing. Call it outside of transactions: what wraps may be a key
    /// manager on the network.
    ///
    /// # Errors
    /// The random generator fails.
    pub async fn generate(&self, tenant: &TenantId, version: KeyVersion) -> Result<Vec<u8>, Error> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        self.random.fill(bytes.as_mut_slice())?;
        self.root.wrap(tenant, &TenantKey::new(version, bytes), &*self.random)
    }

    /// The key that `wrapped` holds, if the keyring remembers it. Never waits, so a transaction may be open.
    pub fn remembered(
        &self,
        tenant: &TenantId,
        version: KeyVersion,
        wrapped: &[u8],
    ) -> Option<Arc<TenantKey>> {
        let known = self.unwrapped.get(&(tenant.clone(), version))?;
        (known.wrapped == wrapped).then(|| Arc::clone(&known.key))
    }

    /// Unwraps `wrapped` and remembers the key. Call it outside of transactions: what unwraps may be a key manager on the
    /// network.
    ///
    /// # Errors
    /// [`Error::Integrity`] if `wrapped` is not this tenant's key of this version under this root.
    pub async fn unwrap(
        &self,
        tenant: &TenantId,
        version: KeyVersion,
        wrapped: &[u8],
    ) -> Result<Arc<TenantKey>, Error> {
        if let Some(known) = self.remembered(tenant, version, wrapped) {
            return Ok(known);
        }
        let key = Arc::new(self.root.unwrap(tenant, version, wrapped)?);
        let known = Unwrapped { wrapped: wrapped.to_vec(), key: Arc::clone(&key) };
        self.unwrapped.insert((tenant.clone(), version), Arc::new(known));
        Ok(key)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("root", &self.root).finish_non_exhaustive()
    }
}
