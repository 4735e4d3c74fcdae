//! Tenant keys that do not unwrap, so that not every transaction of their tenant tries them again.

use std::sync::Arc;
use std::time::Duration;

use credvault_domain::TenantId;
use moka::sync::Cache;

/// For how long a key that did not unwrap is not tried again: every transaction of its tenant reads it.
const BROKEN_KEY_MEMORY: Duration = Duration::from_secs(300);
/// The most keys that did not unwrap and are remembered.
const MAX_BROKEN_KEYS: u64 = 10_000;

/// The wrapped bytes of keys that did not unwrap lately.
pub(crate) struct BrokenKeys(Cache<(TenantId, u32), Arc<[u8]>>);

impl Default for BrokenKeys {
    fn default() -> Self {
        let builder = Cache::builder().max_capacity(MAX_BROKEN_KEYS);
        Self(builder.time_to_live(BROKEN_KEY_MEMORY).build())
    }
}

impl BrokenKeys {
    pub(crate) fn has(&self, tenant: &TenantId, version: u32, wrapped: &[u8]) -> bool {
        self.0.get(&(tenant.clone(), version)).is_some_and(|known| *known == *wrapped)
    }

    pub(crate) fn add(&self, tenant: &TenantId, version: u32, wrapped: &[u8]) {
        self.0.insert((tenant.clone(), version), wrapped.into());
    }
}
