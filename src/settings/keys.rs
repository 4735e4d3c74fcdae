//! `keys`: when tenant keys are rotated, how fast, and how long those that were replaced are kept.

use std::num::NonZeroU64;
use std::time::Duration;

use credvault_store::TenantRotation;
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::value::DAY_SECONDS;

/// The fewest uses after which a key may be rotated: several times the records that a tenant may have.
const FEWEST_USES: u64 = 1 << 24;

/// `keys` as it was given.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct KeysSection {
    /// The age at which a tenant's key is rotated; 0 means never.
    pub rotate_after_days: u64,
    /// How often a tenant's key may seal before it is rotated; 0 means without limit.
    pub rotate_after_uses: u64,
    /// How long a key that was replaced is kept, for backups of its time.
    pub retire_after_days: u64,
    /// How many records a rotation seals, or tenants it goes through, in a second at most; 0 means as many as go.
    pub records_per_second: u32,
    /// How long a key that a key manager has unwrapped is used without asking it again.
    pub cache_seconds: u64,
    /// How long a call waits for a key manager.
    pub manager_timeout_ms: u64,
}

impl Default for KeysSection {
    fn default() -> Self {
        Self {
            rotate_after_days: 90,
            rotate_after_uses: 1 << 32,
            retire_after_days: 35,
            records_per_second: 2000,
            cache_seconds: 3600,
            manager_timeout_ms: 2000,
        }
    }
}

/// When and how tenant keys are rotated.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// The age at which a tenant's key is rotated.
    pub rotate_after: Option<Duration>,
    /// How often a tenant's key may seal before it is rotated; 0 means without limit.
    pub most_uses: u64,
    /// How rotations are made, unless a request says otherwise.
    pub rotation: TenantRotation,
    /// How long a key that a key manager has unwrapped is used without asking it again.
    pub cache: Duration,
    /// How long a call waits for a key manager.
    pub manager_timeout: Duration,
}

impl KeysSection {
    pub(super) fn check(&self, problems: &mut Problems) -> Keys {
        let days = problems.number("keys.rotate_after_days", self.rotate_after_days, 0..=3650);
        let retire = problems.number("keys.retire_after_days", self.retire_after_days, 0..=3650);
        Keys {
            rotate_after: NonZeroU64::new(days).map(|days| Duration::from_secs(days.get() * DAY_SECONDS)),
            most_uses: self.checked_uses(problems),
            rotation: TenantRotation {
                records_per_second: problems.number(
                    "keys.records_per_second",
                    self.records_per_second,
                    0..=1_000_000,
                ),
                retire_after: Duration::from_secs(retire * DAY_SECONDS),
            },
            cache: problems.seconds("keys.cache_seconds", self.cache_seconds, 1..=30 * DAY_SECONDS),
            manager_timeout: problems.milliseconds(
                "keys.manager_timeout_ms",
                self.manager_timeout_ms,
                1..=60_000,
            ),
        }
    }

    /// A rotation itself uses the new key for each record of the tenant, and must not wear it out.
    fn checked_uses(&self, problems: &mut Problems) -> u64 {
        let uses = problems.number("keys.rotate_after_uses", self.rotate_after_uses, 0..=1 << 32);
        if (1..FEWEST_USES).contains(&uses) {
            let rule = format!("must be 0, for no limit, or at least {FEWEST_USES}");
            problems.refuse("keys.rotate_after_uses", rule);
        }
        uses
    }
}
