//! A tenant's key and its uses: sealing, opening, and fingerprints of requests. Its bytes never leave this crate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use credvault_domain::{Random, TenantId};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;

use crate::context::Context;
use crate::envelope::{self, KeyBytes};
use crate::{Error, Opened};

/// The number of a tenant key, counted from 1 within its tenant.
pub type KeyVersion = u32;

/// An unwrapped tenant key, zeroed when it is dropped.
pub struct TenantKey {
    version: KeyVersion,
    bytes: KeyBytes,
    /// Derived with the first tag and kept, for every fetch makes one. It lives and is wiped with the key.
    tags: OnceLock<Box<hmac::Key>>,
    /// How often it has sealed; not counted for a key that the keyring does not remember.
    uses: OnceLock<Arc<AtomicU64>>,
}

impl TenantKey {
    pub(crate) fn new(version: KeyVersion, bytes: KeyBytes) -> Self {
        Self { version, bytes, tags: OnceLock::new(), uses: OnceLock::new() }
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Counts its uses from now on there.
    pub(crate) fn count_uses_in(&self, counter: &Arc<AtomicU64>) {
        // Set once: a key is remembered once.
        let _ = self.uses.set(Arc::clone(counter));
    }

    /// The number of this key within its tenant.
    pub fn version(&self) -> KeyVersion {
        self.version
    }

    /// Seals `value` for the place `context`. The result is at most [`crate::MAX_SEALED_BYTES`] long.
    ///
    /// # Errors
    /// The value is over 68 KiB, or there is no randomness.
    pub fn seal(&self, context: &Context<'_>, value: &[u8], random: &dyn Random) -> Result<Vec<u8>, Error> {
        if let Some(uses) = self.uses.get() {
            uses.fetch_add(1, Ordering::Relaxed);
        }
        envelope::seal(&self.bytes, self.version, context, value, random)
    }

    /// Opens what [`TenantKey::seal`] made for the same place.
    ///
    /// # Errors
    /// [`Error::Integrity`], whatever the cause.
    pub fn open(&self, context: &Context<'_>, sealed: &[u8]) -> Result<Opened, Error> {
        envelope::open(&self.bytes, self.version, context, sealed)
    }

    /// A fingerprint that recognises a repeated request: HMAC-SHA-256 under a key derived from this one. The requests
    /// hold secrets, and from a bare hash a reader of the database could guess short ones.
    pub fn fingerprint(&self, tenant: &TenantId, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = hmac::Context::with_key(&self.derived(b"credvault/1/request fingerprint"));
        for part in std::iter::once(tenant.as_str().as_bytes()).chain(parts.iter().copied()) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(mac.sign().as_ref());
        fingerprint
    }

    /// The key that tags are made with.
    pub(crate) fn tag_key(&self) -> &hmac::Key {
        self.tags.get_or_init(|| Box::new(self.derived(b"credvault/1/credential tag")))
    }

    /// A key of HMAC-SHA-256 for one purpose.
    fn derived(&self, purpose: &[u8]) -> hmac::Key {
        let prk = Salt::new(HKDF_SHA256, &[]).extract(self.bytes());
        let mut key = zeroize::Zeroizing::new([0; 32]);
        envelope::hkdf_expand(&prk, &[purpose], &mut key);
        hmac::Key::new(hmac::HMAC_SHA256, key.as_slice())
    }
}

impl std::fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantKey").field("version", &self.version).finish_non_exhaustive()
    }
}
