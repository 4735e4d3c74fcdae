//! Which version each tenant's newest key has, as far as this process knows.

use credvault_domain::TenantId;
use moka::sync::Cache;

/// The version of a tenant's first key.
pub(crate) const FIRST_KEY: u32 = 1;
/// The most tenants whose newest key is remembered beside the first.
const MAX_NEWEST: u64 = 100_000;

/// What this process takes for the newest keys of tenants. It is only a guess, which each transaction proves.
pub(crate) struct NewestKeys(Cache<TenantId, u32>);

impl Default for NewestKeys {
    fn default() -> Self {
        Self(Cache::new(MAX_NEWEST))
    }
}

impl NewestKeys {
    pub(crate) fn get(&self, tenant: &TenantId) -> u32 {
        self.0.get(tenant).unwrap_or(FIRST_KEY)
    }

    pub(crate) fn learn(&self, tenant: &TenantId, newest: u32) {
        self.0.insert(tenant.clone(), newest);
    }
}
