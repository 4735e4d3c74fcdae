//! Maps that would grow with the number of tenants, kept small by forgetting entries that say nothing any more.

use std::collections::HashMap;
use std::hash::Hash;

/// The number of entries from which on entries are forgotten.
const MAX_ENTRIES: usize = 10_000;

/// Forgets entries that need not be kept, if the map is full and `new` would be added.
pub(super) fn forget_idle<K: Eq + Hash, V>(map: &mut HashMap<K, V>, new: &K, keep: impl Fn(&V) -> bool) {
    if map.len() >= MAX_ENTRIES && !map.contains_key(new) {
        map.retain(|_, value| keep(value));
    }
}
