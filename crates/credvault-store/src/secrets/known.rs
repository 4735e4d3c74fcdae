//! What this process remembers of external stores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use credvault_domain::TenantId;
use moka::sync::Cache;
use uuid::Uuid;

/// The most bytes of sealed payloads that are remembered.
const REMEMBERED_BYTES: u64 = 64 * 1024 * 1024;

/// The most connections whose adopted secrets are doubted.
const DOUBTED: u64 = 100_000;

/// Payloads that were read from external stores, sealed as they are there.
pub(crate) struct KnownPayloads {
    /// By tenant and payload.
    pub(crate) placed: Cache<(TenantId, Uuid), Arc<[u8]>>,
    /// By tenant, connection and what it refers to; sealed under the adoption's key.
    pub(crate) adopted: Cache<AdoptedKey, (Arc<[u8]>, Instant)>,
    /// Since when what was read of a connection's adopted secret does not count.
    pub(crate) doubted: Cache<(TenantId, Uuid), Instant>,
}

/// What an adopted secret is remembered by: tenant, connection, store, name and version.
pub(crate) type AdoptedKey = (TenantId, Uuid, String, String, Option<String>);

impl KnownPayloads {
    /// Remembers payloads for `lifetime`.
    pub(crate) fn new(lifetime: Duration) -> Self {
        let weight = |bytes: usize| u32::try_from(bytes + 256).unwrap_or(u32::MAX);
        let placed = Cache::builder()
            .max_capacity(REMEMBERED_BYTES)
            .time_to_live(lifetime)
            .weigher(move |_, sealed: &Arc<[u8]>| weight(sealed.len()))
            .build();
        let adopted = Cache::builder()
            .max_capacity(REMEMBERED_BYTES)
            .time_to_live(lifetime)
            .weigher(move |_, (sealed, _): &(Arc<[u8]>, Instant)| weight(sealed.len()))
            .build();
        let doubted = Cache::builder().max_capacity(DOUBTED).time_to_live(lifetime).build();
        Self { placed, adopted, doubted }
    }
}
