//! Token buckets of this process, in a table of fixed size: no locks, no allocation and no sweep, so a call costs tens of
//! nanoseconds and no number of callers costs memory.
//!
//! A bucket is one number, the instant until which its calls are given away (the generic cell rate algorithm, ITU-T
//! I.371). One that lies in the past says the same as no bucket, so its slot is free for another key. A key has 16 slots
//! to be in. Where callers use all of them at that moment, a newcomer counts in a bucket that it shares with the other
//! newcomers of its namespace: a caller that brings many names slows itself down, and no key that has its slot.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The slots of a table: 1 MiB, of which the system lends a page when it is first used.
const SLOTS: usize = 1 << 16;
/// In how many slots a key can be.
const WAYS: usize = 16;
/// The buckets that are shared by keys without a slot.
const SHARED: usize = 1 << 12;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rate {
    /// How long a call is worth, in nanoseconds.
    pub(super) interval: u64,
    /// How many calls it holds, as a time in nanoseconds.
    pub(super) span: u64,
}

impl Rate {
    /// `calls` in each `period`, of which `burst` may come at once.
    pub(super) fn new(calls: u64, period: Duration, burst: u64) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let interval = (period / calls.max(1)).max(1);
        Self { interval, span: interval.saturating_mul(burst.max(1)) }
    }
}

/// A key's name in the table, and that of the bucket which it shares where it finds no slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    own: u64,
    shared: u64,
}

/// A table of buckets.
pub(super) struct Buckets {
    slots: Box<[Slot]>,
    shared: Box<[AtomicU64]>,
    /// Random for each process, so that no caller can choose names that meet in one place.
    hasher: RandomState,
}

/// A place for a key. Its two numbers are written one after the other; a call that falls between the two counts for the
/// key that leaves or for the one that comes, which costs either of them a call at most.
#[derive(Default)]
struct Slot {
    /// The key's name, which is never 0.
    name: AtomicU64,
    /// Until when its calls are given away.
    until: AtomicU64,
}

impl Default for Buckets {
    fn default() -> Self {
        Self::of_slots(SLOTS)
    }
}

impl Buckets {
    fn of_slots(slots: usize) -> Self {
        Self {
            slots: std::iter::repeat_with(Slot::default).take(slots).collect(),
            shared: std::iter::repeat_with(AtomicU64::default).take(SHARED).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The key of a name, of which `namespace` is the part that others have as well.
    pub(super) fn key(&self, namespace: impl Hash, name: impl Hash) -> Key {
        let shared = self.hasher.hash_one(namespace);
        Key { own: self.hasher.hash_one((shared, name)).max(1), shared }
    }

    /// Takes `calls` at the instant `now`, in nanoseconds; or says how long it takes until there are so many.
    pub(super) fn take(&self, key: Key, rate: Rate, calls: u64, now: u64) -> Result<(), Duration> {
        let cost = rate.interval.saturating_mul(calls);
        let end = now.saturating_add(rate.span);
        let until = self.bucket(key, now);
        let mut before = until.load(Ordering::Relaxed);
        loop {
            let after = before.max(now).saturating_add(cost);
            if after > end {
                return Err(Duration::from_nanos(after - end));
            }
            match until.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(current) => before = current,
            }
        }
    }

    /// Gives `calls` back that were taken and not made.
    pub(super) fn give_back(&self, key: Key, rate: Rate, calls: u64, now: u64) {
        let cost = rate.interval.saturating_mul(calls);
        let less = |until: u64| Some(until.saturating_sub(cost));
        let _ = self.bucket(key, now).fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// How many calls of a bucket are given away.
    pub(super) fn in_use(&self, key: Key, rate: Rate, now: u64) -> u64 {
        self.bucket(key, now).load(Ordering::Relaxed).saturating_sub(now).div_ceil(rate.interval)
    }

    /// Says that nothing is to be taken until `until`.
    pub(super) fn close(&self, key: Key, now: u64, until: u64) {
        self.bucket(key, now).fetch_max(until, Ordering::Relaxed);
    }

    /// How long nothing is to be taken any more, after [`Buckets::close`].
    pub(super) fn closed_for(&self, key: Key, now: u64) -> Option<Duration> {
        let left = self.bucket(key, now).load(Ordering::Relaxed).saturating_sub(now);
        (left > 0).then(|| Duration::from_nanos(left))
    }

    /// The bucket of a key: its own, or a free one that it takes, or else the one that it shares.
    fn bucket(&self, key: Key, now: u64) -> &AtomicU64 {
        let groups = (self.slots.len() / WAYS).max(1);
        // The table's length is far below the largest number of the type.
        let group = (key.own % groups as u64) as usize;
        let group = self.slots.chunks(WAYS).nth(group).unwrap_or_default();
        if let Some(slot) = group.iter().find(|slot| slot.name.load(Ordering::Relaxed) == key.own) {
            return &slot.until;
        }
        for slot in group {
            let name = slot.name.load(Ordering::Relaxed);
            let is_free = slot.until.load(Ordering::Relaxed) <= now;
            let take = || slot.name.compare_exchange(name, key.own, Ordering::Relaxed, Ordering::Relaxed);
            if is_free && take().is_ok() {
                return &slot.until;
            }
        }
        let shared = (key.shared % SHARED as u64) as usize;
        self.shared.get(shared).expect("the remainder of a division by the table's length")
    }
}

#[cfg(test)]
mod tests;
