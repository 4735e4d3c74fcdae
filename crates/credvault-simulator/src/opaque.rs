//! Opaque values: tokens, codes, keys. Unique across restarts, and unpredictable enough for a simulator that protects
//! nothing.

use std::hash::{BuildHasher as _, RandomState};

/// Makes them from a keyed hash of a counter, with a key from the operating system. A real provider must not do the same;
/// here it saves a dependency.
pub(crate) struct Opaque {
    key: RandomState,
    made: u64,
}

impl Opaque {
    pub(crate) fn new() -> Self {
        Self { key: RandomState::new(), made: 0 }
    }

    /// The prefix and 40 hexadecimal digits, the form of WooCommerce's keys.
    pub(crate) fn value(&mut self, prefix: &str) -> String {
        let (a, b, c) = (self.number(), self.number(), self.number() >> 32);
        format!("{prefix}{a:016x}{b:016x}{c:08x}")
    }

    /// True in this share of the cases, from 0 to 1.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && (self.number() as f64) < share * u64::MAX as f64
    }

    fn number(&mut self) -> u64 {
        self.made += 1;
        self.key.hash_one(self.made)
    }
}
