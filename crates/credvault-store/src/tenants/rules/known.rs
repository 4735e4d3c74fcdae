//! The rules of all tenants that have some, as this process knows them, so that a call costs no round trip for them.
//!
//! A process asks twice a second for what was written since, and a call does not rely on what is older than
//! [`MAX_AGE`]: then it reads the rules of its own tenant. So a change counts everywhere after that time, whatever has
//! happened to the process or its network, and where rules cannot be known, calls fail.
//!
//! The order of transactions is that of the change feed (`change/feed.rs`). Rows are read again from the oldest
//! transaction on that was in progress at the last question, so none that commits late is missed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use credvault_domain::TenantId;
use tokio::sync::Mutex;

use super::row::TenantRules;

/// How long what is known counts.
const MAX_AGE: Duration = Duration::from_secs(1);

pub(super) type AllRules = HashMap<TenantId, Arc<TenantRules>>;

/// What a process knows of all tenants' rules.
pub(crate) struct KnownRules {
    all: ArcSwap<AllRules>,
    /// The transaction to read on from. 0: everything is read.
    pub(super) position: Mutex<i64>,
    begun: Instant,
    /// When the last question was asked that was answered, in milliseconds since `begun`, and one more: 0 means never.
    asked: AtomicU64,
}

impl Default for KnownRules {
    fn default() -> Self {
        Self {
            all: ArcSwap::default(),
            position: Mutex::default(),
            begun: Instant::now(),
            asked: AtomicU64::new(0),
        }
    }
}

impl KnownRules {
    /// The time by the process's own clock, in milliseconds.
    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Whether what is known counts for calls.
    pub(super) fn are_fresh(&self) -> bool {
        let asked = self.asked.load(Ordering::Acquire);
        asked > 0 && u128::from(self.millis() - asked) < MAX_AGE.as_millis()
    }

    /// The rules of a tenant, however long they have been known.
    pub(super) fn of(&self, tenant: &TenantId) -> Option<Arc<TenantRules>> {
        self.all.load().get(tenant).cloned()
    }

    /// Says that everything is known that had been written when the question was asked, at this time in milliseconds.
    pub(super) fn are_known_at(&self, asked: u64) {
        self.asked.store(asked, Ordering::Release);
    }

    /// Takes rules over that were read, and tells which tenants' they are. `all`: they are all that there are.
    pub(super) fn learn(&self, rules: AllRules, all: bool) -> Vec<TenantId> {
        let known = self.all.load();
        let is_new = |(tenant, rules): &(TenantId, Arc<TenantRules>)| known.get(tenant) != Some(rules);
        let gone =
            known.keys().filter(|tenant| all && !rules.contains_key(*tenant)).cloned().collect::<Vec<_>>();
        let new: Vec<_> = rules.into_iter().filter(is_new).collect();
        if new.is_empty() && gone.is_empty() {
            return Vec::new();
        }
        let changed = new.iter().map(|(tenant, _)| tenant).chain(&gone).cloned().collect();
        let mut next = AllRules::clone(&known);
        next.retain(|tenant, _| !gone.contains(tenant));
        next.extend(new);
        self.all.store(Arc::new(next));
        changed
    }
}
