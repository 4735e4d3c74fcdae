//! Which calls do not wait for their audit records.

use std::collections::BTreeSet;

use credvault_domain::{Action, ActionKind};
use credvault_store::Buffered;

use super::AuditSection;
use crate::settings::problem::Problems;

impl AuditSection {
    /// Which calls do not wait for their audit records.
    pub(super) fn check_buffered(&self, problems: &mut Problems) -> Buffered {
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
        assert!(AuditSection::default().check_buffered(&mut problems).actions.is_empty());
        assert!(problems.is_empty());
    }
}
