//! `erasure`: what statements about erased tenants say of backups.

use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// The longest time that backups are kept, in days: ten years.
const MAX_DAYS: u32 = 3650;

/// `erasure` as it was given.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct ErasureSection {
    /// How many days backups of the database are kept. The vault does not delete any; its statements say until when to.
    pub backup_retention_days: u32,
}

impl Default for ErasureSection {
    fn default() -> Self {
        Self { backup_retention_days: 35 }
    }
}

impl ErasureSection {
    /// How many days backups are kept.
    pub(super) fn check(&self, problems: &mut Problems) -> u32 {
        problems.number("erasure.backup_retention_days", self.backup_retention_days, 1..=MAX_DAYS)
    }
}
