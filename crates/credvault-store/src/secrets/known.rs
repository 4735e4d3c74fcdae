//! What this process remembers of external stores.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use credvault_crypto::{AdoptedSecret, SecretStores};
use credvault_domain::TenantId;
use moka::sync::Cache;
use uuid::Uuid;

use super::joined::{JoinedReads, READS};
use crate::Turns;

/// The most bytes of sealed payloads that are remembered.
const REMEMBERED_BYTES: u64 = 64 * 1024 * 1024;

/// The most connections whose adopted secrets are doubted.
const DOUBTED: u64 = 100_000;

/// How often a process without stores looks at whether others have some.
const OTHERS_INTERVAL: Duration = Duration::from_secs(60);

/// Payloads that were read from external stores, sealed as they are there.
pub(crate) struct KnownPayloads {
    /// By tenant and payload.
    pub(crate) placed: Cache<(TenantId, Uuid), Arc<[u8]>>,
    /// By tenant, connection and what it refers to; sealed under the adoption's key.
    pub(crate) adopted: Cache<AdoptedKey, (Arc<[u8]>, Instant)>,
    /// Since when what was read of a connection's adopted secret does not count.
    pub(crate) doubted: Cache<(TenantId, Uuid), Instant>,
    /// The reads of payloads that are under way.
    pub(crate) payload_reads: JoinedReads<Arc<[u8]>>,
    /// The reads of adopted secrets that are under way.
    pub(crate) adopted_reads: JoinedReads<Arc<AdoptedSecret>>,
    turns: BTreeMap<String, Turns>,
    /// Whether other processes keep something in stores, and when that was looked at.
    others: Mutex<(bool, Option<Instant>)>,
}

/// What an adopted secret is remembered by: tenant, connection, store, name and version.
pub(crate) type AdoptedKey = (TenantId, Uuid, String, String, Option<String>);

impl KnownPayloads {
    pub(crate) fn new(stores: &SecretStores) -> Self {
        let lifetime = stores.cache;
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
        let turns = stores.by_name.keys().map(|name| (name.clone(), Turns::new(READS))).collect();
        let (payload_reads, adopted_reads) = (JoinedReads::new(), JoinedReads::new());
        // Until it was looked at, they may.
        let others = Mutex::new((true, None));
        Self { placed, adopted, doubted, payload_reads, adopted_reads, turns, others }
    }

    /// Whether other processes keep something in stores, as far as this one knows.
    pub(crate) fn others_use_stores(&self) -> bool {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Whether it is time to look at whether other processes keep something in stores.
    pub(crate) fn is_look_due(&self) -> bool {
        let (_, looked) = *self.others.lock().unwrap_or_else(PoisonError::into_inner);
        looked.is_none_or(|time| time.elapsed() >= OTHERS_INTERVAL)
    }

    /// Notes whether other processes keep something in stores.
    pub(crate) fn note_others(&self, use_stores: bool) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = (use_stores, Some(Instant::now()));
    }

    /// The turns at reading a store.
    pub(crate) fn turns(&self, store: &str) -> Turns {
        self.turns.get(store).cloned().unwrap_or_else(|| Turns::new(READS))
    }
}
