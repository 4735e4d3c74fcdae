//! `audit`: which calls do not wait for their audit records.

use std::collections::BTreeSet;

use credvault_domain::{Action, ActionKind};
use credvault_store::Buffered;
use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// `audit` as it was given.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSection {
    /// RPCs whose answers do not wait for their audit records: a process that is killed loses the latest of them.
    pub buffered: Vec<String>,
    /// How old the oldest record may be that is not durable, before calls of these RPCs wait again.
    pub buffered_loss_ms: u64,
    /// How many records may be not durable before they do.
    pub buffered_records: usize,
}

impl Default for AuditSection {
    fn default() -> Self {
        Self { buffered: Vec::new(), buffered_loss_ms: 1000, buffered_records: 10_000 }
    }
}

impl AuditSection {
    /// Which calls do not wait for their audit records.
    pub(super) fn check(&self, problems: &mut Problems) -> Buffered {
        let mut actions = BTreeSet::new();
        for (index, name) in self.buffered.iter().enumerate() {
            actions.extend(problems.take(&format!("audit.buffered[{index}]"), action(name)));
        }
        Buffered {
            actions,
            loss: problems.milliseconds("audit.buffered_loss_ms", self.buffered_loss_ms, 100..=5000),
            records: problems.number("audit.buffered_records", self.buffered_records, 100..=100_000),
        }
    }
}

/// An RPC that changes nothing. What changes something is durable together with its record. VerifyWebhook remembers what it
/// has verified.
fn action(name: &str) -> Result<Action, &'static str> {
    let action = Action::from_stored(name).ok_or("must be the name of an RPC, such as FetchCredential")?;
    match action.kind() {
        ActionKind::Fetch | ActionKind::Read if action != Action::VerifyWebhook => Ok(action),
        ActionKind::Fetch | ActionKind::Read | ActionKind::Change | ActionKind::Permission => Err(
            "must be an RPC that changes nothing: a change is durable together with its record, so take it out of the list",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_need_not_wait() {
        for name in ["FetchCredential", "BatchFetchCredentials", "ListConnections", "ListAuditEvents"] {
            assert!(action(name).is_ok(), "{name}");
        }
        for name in
            ["PutCredential", "VerifyWebhook", "ReportUsage", "FetchRefreshToken", "BackUp", "Fetch", ""]
        {
            assert!(action(name).is_err(), "{name}");
        }
    }

    #[test]
    fn nothing_is_buffered_by_default() {
        let mut problems = Problems::default();
        assert!(AuditSection::default().check(&mut problems).actions.is_empty());
        assert!(problems.is_empty());
    }
}
