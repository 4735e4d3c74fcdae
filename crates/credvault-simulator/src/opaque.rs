//! Opaque values: tokens, codes, keys. Unique over restarts, and unpredictable enough for what guards nothing.

use std::hash::{BuildHasher as _, RandomState};

/// Where they come from: a keyed hash of a counter, the key from the operating system. No provider with something to
/// lose should do the same; here it spares a dependency.
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
