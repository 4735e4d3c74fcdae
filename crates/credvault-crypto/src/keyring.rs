//! The root keys and a cache of unwrapped tenant keys. Reads and writes no database: the caller hands in wrapped keys.

mod flights;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_domain::{Random, TenantId};
use futures::StreamExt as _;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::{BackupKey, Error, KeyVersion, RootKey, TenantKey, WrappedBackupKey, managed};
use flights::Flights;

/// How many keys are renewed at a time.
const RENEWALS: usize = 8;

/// A wrapped tenant key, and the root key that wrapped it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrappedKey {
    /// The id of the root key.
    pub root_id: u32,
    /// The wrapped bytes, as they are stored.
    pub bytes: Vec<u8>,
}

/// Wraps tenant keys with the active root key, unwraps them with whichever wrapped them, and caches the most used of them.
///
/// A cached key is used only for the wrapped bytes that it was unwrapped from, and the caller has just read these from
/// the database. Once the database holds other bytes or none, the cached key is never used again, so the cache needs no
/// invalidation. A key that a key manager has unwrapped is also used for a limited time only.
pub struct Keyring {
    main: RootKey,
    /// A second one, while the vault moves from one to the other.
    other: Option<RootKey>,
    /// The id of the one that wraps.
    active: AtomicU32,
    /// Whether the one that should wrap is not among them.
    lacks_active: AtomicBool,
    /// The root keys that the database knows, with their kinds.
    registered: Mutex<HashMap<u32, String>>,
    random: Arc<dyn Random>,
    /// For how long a key that a key manager has unwrapped is used without asking it again.
    lifetime: Duration,
    unwrapped: moka::sync::Cache<(TenantId, KeyVersion), Arc<Unwrapped>>,
    flights: Flights,
    uses: Mutex<HashMap<(TenantId, KeyVersion), Arc<AtomicU64>>>,
}

struct Unwrapped {
    wrapped: Vec<u8>,
    key: Arc<TenantKey>,
    /// When the key manager unwrapped it; none for a root key of this process.
    asked: Option<Instant>,
    /// Whether it was used since then.
    used: AtomicBool,
}

/// How often a tenant key has sealed something since the last count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyUse {
    /// The tenant of the key.
    pub tenant: TenantId,
    /// The number of the key within its tenant.
    pub version: KeyVersion,
    /// The number of values that it has sealed.
    pub uses: u64,
}

impl Keyring {
    /// The number of cached keys; each takes about 900 bytes.
    const MAX_CACHED_KEYS: u64 = 10_000;
    /// For how long a key manager may be away before its keys are not used any more, unless set otherwise.
    pub const USUAL_LIFETIME: Duration = Duration::from_secs(3600);

    /// A keyring with one root key, which is active.
    pub fn new(root: RootKey, random: Arc<dyn Random>) -> Self {
        Self {
            active: AtomicU32::new(root.id()),
            lacks_active: AtomicBool::new(false),
            registered: Mutex::default(),
            main: root,
            other: None,
            random,
            lifetime: Self::USUAL_LIFETIME,
            unwrapped: moka::sync::Cache::new(Self::MAX_CACHED_KEYS),
            flights: Flights::default(),
            uses: Mutex::default(),
        }
    }

    /// The same with a second root key, which unwraps, too, and can be made the active one.
    #[must_use]
    pub fn with_other(mut self, other: RootKey) -> Self {
        self.other = Some(other);
        self
    }

    /// The same with another lifetime of keys that a key manager has unwrapped.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// The root key that wraps.
    pub fn active(&self) -> &RootKey {
        // Only an id of one of them is ever stored.
        self.root(self.active.load(Ordering::Acquire)).unwrap_or(&self.main)
    }

    /// All root keys of this process.
    pub fn roots(&self) -> impl Iterator<Item = &RootKey> {
        std::iter::once(&self.main).chain(&self.other)
    }

    /// The root key with this id, if the process has it.
    pub fn root(&self, id: u32) -> Option<&RootKey> {
        self.roots().find(|root| root.id() == id)
    }

    /// Makes a root key the one that wraps.
    ///
    /// # Errors
    /// [`Error::RootKeyMissing`] if the process does not have it.
    pub fn activate(&self, id: u32) -> Result<(), Error> {
        let missing = self.root(id).is_none();
        self.lacks_active.store(missing, Ordering::Release);
        if missing {
            return Err(self.missing(id).unwrap_or(Error::RootKeyMismatch));
        }
        self.active.store(id, Ordering::Release);
        Ok(())
    }

    /// Whether the process lacks the root key that wraps, so that it cannot serve.
    pub fn lacks_active(&self) -> bool {
        self.lacks_active.load(Ordering::Acquire)
    }

    /// Notes that the database knows a root key, so that a tenant key which names it is not taken for an altered one.
    pub fn register(&self, id: u32, kind: &str) {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner).insert(id, kind.to_owned());
    }

    /// The random generator that this keyring seals with.
    pub fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// Generates a key for a tenant and wraps it for storing. Call it outside of transactions: what wraps may be a key
    /// manager on the network.
    ///
    /// # Errors
    /// The random generator fails, or the key manager.
    pub async fn generate(&self, tenant: &TenantId, version: KeyVersion) -> Result<WrappedKey, Error> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        self.random.fill(bytes.as_mut_slice())?;
        self.wrap(tenant, &TenantKey::new(version, bytes)).await
    }

    /// Wraps a tenant key anew with the active root key, and makes sure that the result unwraps to the same key. Call it
    /// outside of transactions.
    ///
    /// # Errors
    /// [`Error::Integrity`] if `wrapped` does not unwrap; a key manager fails.
    pub async fn rewrap(
        &self,
        tenant: &TenantId,
        version: KeyVersion,
        wrapped: &[u8],
    ) -> Result<WrappedKey, Error> {
        let key = self.ask(tenant, version, wrapped).await?;
        let anew = self.wrap(tenant, &key).await?;
        let again = self.ask(tenant, version, &anew.bytes).await?;
        if !bool::from(again.bytes().ct_eq(key.bytes())) {
            return Err(Error::Integrity);
        }
        Ok(anew)
    }

    async fn wrap(&self, tenant: &TenantId, key: &TenantKey) -> Result<WrappedKey, Error> {
        let root = self.active();
        Ok(WrappedKey { root_id: root.id(), bytes: root.wrap(tenant, key, &*self.random).await? })
    }

    /// Makes a key for a new backup, and wraps it with the active root key.
    ///
    /// # Errors
    /// The random generator fails, or the key manager.
    pub async fn wrap_backup_key(&self) -> Result<(BackupKey, WrappedBackupKey), Error> {
        let (root, key) = (self.active(), BackupKey::generate(&*self.random)?);
        let bytes = root.wrap_backup_key(&key, &*self.random).await?;
        Ok((key, WrappedBackupKey { root_id: root.id(), bytes }))
    }

    /// Unwraps the key of a backup with the root key that its bytes name.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the bytes are no backup's key under a root key of this process; [`Error::KeyManager`] and
    /// [`Error::RootKeyMissing`] if that cannot be found out.
    pub async fn unwrap_backup_key(&self, wrapped: &WrappedBackupKey) -> Result<BackupKey, Error> {
        self.root_of(&wrapped.bytes)?.unwrap_backup_key(&wrapped.bytes).await
    }

    /// The key that `wrapped` holds, if the keyring remembers it. Never waits, so a transaction may be open.
    pub fn remembered(
        &self,
        tenant: &TenantId,
        version: KeyVersion,
        wrapped: &[u8],
    ) -> Option<Arc<TenantKey>> {
        let known = self.unwrapped.get(&(tenant.clone(), version))?;
        if known.wrapped != wrapped || known.asked.is_some_and(|asked| asked.elapsed() >= self.lifetime) {
            return None;
        }
        if known.asked.is_some() {
            known.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&known.key))
    }

    /// Unwraps `wrapped` and remembers the key. Many that want the same key at once make one call of it. Call it outside of
    /// transactions: what unwraps may be a key manager on the network.
    ///
    /// # Errors
    /// [`Error::Integrity`] if `wrapped` is not this tenant's key of this version under its root key;
    /// [`Error::KeyManager`] and [`Error::RootKeyMissing`] if that cannot be found out.
    pub async fn unwrap(
        &self,
        tenant: &TenantId,
        version: KeyVersion,
        wrapped: &[u8],
    ) -> Result<Arc<TenantKey>, Error> {
        if let Some(known) = self.remembered(tenant, version, wrapped) {
            return Ok(known);
        }
        let root = self.root_of(wrapped)?;
        if !root.is_managed() {
            let key = Arc::new(self.ask(tenant, version, wrapped).await?);
            return Ok(self.remember(tenant, version, wrapped, key, None));
        }
        let asking = async {
            let key = Arc::new(self.ask(tenant, version, wrapped).await?);
            Ok(self.remember(tenant, version, wrapped, key, Some(Instant::now())))
        };
        self.flights.join(tenant, version, wrapped, asking).await
    }

    /// Forgets the keys of a tenant, which was erased.
    pub fn forget(&self, tenant: &TenantId) {
        let of_tenant: Vec<_> =
            self.unwrapped.iter().filter(|(key, _)| key.0 == *tenant).map(|(key, _)| key).collect();
        for key in of_tenant {
            self.unwrapped.invalidate(&*key);
        }
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| key.0 != *tenant);
    }

    /// Asks key managers anew for the keys that are in use and have spent three quarters of their lifetime, a few at a
    /// time, so that calls need not wait for it. Gives the number of keys whose key manager failed.
    pub async fn renew(&self) -> usize {
        let due: Vec<_> = self
            .unwrapped
            .iter()
            .filter(|(_, known)| {
                known.asked.is_some_and(|asked| asked.elapsed() >= self.lifetime / 4 * 3)
                    && known.used.load(Ordering::Relaxed)
            })
            .collect();
        let failed = AtomicU64::new(0);
        let renewing = futures::stream::iter(due).for_each_concurrent(RENEWALS, async |(place, known)| {
            let (tenant, version) = &*place;
            match self.ask(tenant, *version, &known.wrapped).await {
                Ok(key) => {
                    self.remember(tenant, *version, &known.wrapped, Arc::new(key), Some(Instant::now()));
                }
                // It is used until its lifetime is over; then the next call tells why not.
                Err(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
            }
        });
        renewing.await;
        usize::try_from(failed.into_inner()).unwrap_or(usize::MAX)
    }

    /// How often each key has sealed since this was last asked.
    pub fn take_uses(&self) -> Vec<KeyUse> {
        let mut counters = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = counters.iter().filter_map(|((tenant, version), counter)| {
            let uses = counter.swap(0, Ordering::Relaxed);
            (uses > 0).then(|| KeyUse { tenant: tenant.clone(), version: *version, uses })
        });
        let taken = taken.collect();
        counters.retain(|_, counter| Arc::strong_count(counter) > 1);
        taken
    }

    /// Unwraps with the root key that the bytes name.
    async fn ask(&self, tenant: &TenantId, version: KeyVersion, wrapped: &[u8]) -> Result<TenantKey, Error> {
        self.root_of(wrapped)?.unwrap(tenant, version, wrapped).await
    }

    fn root_of(&self, wrapped: &[u8]) -> Result<&RootKey, Error> {
        let id = managed::key_id(wrapped).ok_or(Error::Integrity)?;
        // An id that the database knows nothing of was altered.
        self.root(id).ok_or_else(|| self.missing(id).unwrap_or(Error::Integrity))
    }

    fn missing(&self, id: u32) -> Option<Error> {
        let registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        registered.get(&id).map(|kind| Error::RootKeyMissing { id, kind: kind.clone() })
    }

    fn remember(
        &self,
        tenant: &TenantId,
        version: KeyVersion,
        wrapped: &[u8],
        key: Arc<TenantKey>,
        asked: Option<Instant>,
    ) -> Arc<TenantKey> {
        let place = (tenant.clone(), version);
        let mut counters = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        key.count_uses_in(counters.entry(place.clone()).or_default());
        drop(counters);
        let known = Unwrapped {
            wrapped: wrapped.to_vec(),
            key: Arc::clone(&key),
            asked,
            used: AtomicBool::new(false),
        };
        self.unwrapped.insert(place, Arc::new(known));
        key
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring")
            .field("main", &self.main)
            .field("other", &self.other)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
