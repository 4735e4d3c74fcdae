//! `audit`: how long audit records are kept.

use std::path::{Path, PathBuf};

use credvault_domain::LimitKind;
use credvault_store::StoreSettings;
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::value::resolve;

/// `audit` as it was given.
#[derive(Deserialize, Serialize, Clone, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSection {
    /// How many days audit records are kept, of tenants without a number of their own; 0 means for ever.
    pub retention_days: u32,
    /// The folder to which records are written, with proofs, before they are removed.
    pub archive: Option<PathBuf>,
}

impl AuditSection {
    pub(super) fn resolve(&mut self, base: &Path) {
        self.archive.iter_mut().for_each(|path| resolve(path, base));
    }

    /// Checks the section, and adds to the store's settings what the store has to know.
    pub(super) fn check(&self, store: &mut StoreSettings, problems: &mut Problems) {
        if !LimitKind::AuditDays.allows(self.retention_days.into()) {
            problems.refuse("audit.retention_days", LimitKind::AuditDays.rule());
        }
        store.audit_retention_days = self.retention_days;
        store.audit_archive.clone_from(&self.archive);
    }
}
