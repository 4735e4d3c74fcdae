//! What the public key cache remembers, and how many unknown keys may be fetched. No I/O and no clock of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use credvault_crypto::P256Key;
use credvault_domain::{TenantId, Timestamp};
use secrecy::SecretString;

/// How long a key is used before it is fetched again.
pub(super) const KEY_LIFETIME: Duration = Duration::from_secs(3600);
/// How long a key is used at most while it cannot be fetched again.
const MAX_KEY_AGE: Duration = Duration::from_secs(24 * 3600);
/// The most keys that are remembered, and the most tokens.
const MAX_ENTRIES: usize = 64;
/// How many unknown keys are fetched in a minute, for all tenants together.
pub(super) const MAX_LOOKUPS: u32 = 20;
/// A tenant may fetch another unknown key while it has fetched fewer than this many for each that is left.
const LOOKUPS_PER_LEFT: u32 = 3;
/// The time in which look-ups are counted, and for which the absence of a key is remembered.
pub(super) const LOOKUP_WINDOW: Duration = Duration::from_secs(60);

/// A URL, and the client id of the app that asks: what a provider answers to one app says nothing to another.
pub(super) type Place = (String, String);

/// Keys, tokens and counts.
#[derive(Default)]
pub(super) struct Memory {
    keys: HashMap<Place, KnownKey>,
    /// Until when a key is known not to exist.
    absent: HashMap<Place, Timestamp>,
    /// Until when a token for fetching keys is used.
    tokens: HashMap<Place, (Timestamp, SecretString)>,
    window_start: Timestamp,
    lookups: HashMap<TenantId, u32>,
}

struct KnownKey {
    key: P256Key,
    /// When it is to be fetched again.
    fetch_time: Timestamp,
    /// When it is not used any more.
    end: Timestamp,
}

impl Memory {
    /// A key, and whether the caller is to fetch it again. No other caller is asked to for a minute, so that a key that
    /// cannot be fetched does not delay every delivery.
    pub(super) fn key(&mut self, place: &Place, now: Timestamp) -> Option<(P256Key, bool)> {
        let known = self.keys.get_mut(place).filter(|known| now < known.end)?;
        let due = now >= known.fetch_time;
        if due {
            known.fetch_time = now.after(LOOKUP_WINDOW);
        }
        Some((known.key.clone(), due))
    }

    pub(super) fn set_key(&mut self, place: Place, key: P256Key, now: Timestamp) {
        let known = KnownKey { key, fetch_time: now.after(KEY_LIFETIME), end: now.after(MAX_KEY_AGE) };
        remember(&mut self.keys, place, known);
    }

    pub(super) fn is_absent(&self, place: &Place, now: Timestamp) -> bool {
        self.absent.get(place).is_some_and(|until| now < *until)
    }

    pub(super) fn set_absent(&mut self, place: Place, now: Timestamp) {
        self.keys.remove(&place);
        remember(&mut self.absent, place, now.after(LOOKUP_WINDOW));
    }

    pub(super) fn token(&self, place: &Place, now: Timestamp) -> Option<SecretString> {
        self.tokens.get(place).filter(|(until, _)| now < *until).map(|(_, token)| token.clone())
    }

    pub(super) fn set_token(&mut self, place: Place, token: SecretString, until: Timestamp) {
        remember(&mut self.tokens, place, (until, token));
    }

    pub(super) fn forget_token(&mut self, place: &Place) {
        self.tokens.remove(place);
    }

    /// Counts a look-up of an unknown key for a tenant.
    ///
    /// # Errors
    /// The tenant has had its share; how long to wait.
    pub(super) fn count_lookup(&mut self, tenant: &TenantId, now: Timestamp) -> Result<(), Duration> {
        let end = self.window_start.after(LOOKUP_WINDOW);
        if now >= end {
            self.window_start = now;
            self.lookups.clear();
        }
        let left = MAX_LOOKUPS.saturating_sub(self.lookups.values().sum());
        let own = self.lookups.entry(tenant.clone()).or_default();
        if left == 0 || *own >= LOOKUPS_PER_LEFT * left {
            return Err(now.until(end));
        }
        *own += 1;
        Ok(())
    }
}

/// Adds an entry. A map that is full is emptied: what it held can be fetched again.
fn remember<K: Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    if map.len() >= MAX_ENTRIES && !map.contains_key(&key) {
        map.clear();
    }
    map.insert(key, value);
}
