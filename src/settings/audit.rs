//! `audit`: the name under which checkpoints of audit logs are signed, and the witnesses that cosign them.

use std::time::Duration;

use credvault_broker::Guard;
use credvault_store::{StoreSettings, VAULT_NAME_RULE, Witness, is_vault_name};
use serde::{Deserialize, Serialize};
use url::Url;

use super::problem::Problems;
use super::value::DAY_SECONDS;

/// `audit` as it was given.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSection {
    /// The vault's name in checkpoints: `credvault/NAME/tenants/TENANT`. It takes effect when a signer is made.
    pub name: Option<String>,
    /// How often each log that has grown is signed though none asks for it, and witnesses are asked.
    pub checkpoint_seconds: u64,
    /// The witnesses that are asked to cosign.
    pub witnesses: Vec<WitnessSection>,
}

/// One of `audit.witnesses` as it was given: a witness of C2SP tlog-witness.
#[derive(Deserialize, Serialize, Clone, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct WitnessSection {
    /// The URL to which `/add-checkpoint` is added.
    pub url: String,
    /// The verifier key of its cosignatures: `NAME+ID+BASE64`.
    pub key: String,
}

/// How checkpoints of audit logs are signed.
#[derive(Clone, Debug)]
pub struct Audit {
    /// How often each log that has grown is signed, and witnesses are asked.
    pub checkpoint_interval: Duration,
}

impl Default for AuditSection {
    fn default() -> Self {
        Self { name: None, checkpoint_seconds: 300, witnesses: Vec::new() }
    }
}

impl AuditSection {
    /// Checks the section, and adds to the store's settings what the store has to know.
    pub(super) fn check(&self, guard: &Guard, store: &mut StoreSettings, problems: &mut Problems) -> Audit {
        if self.name.as_ref().is_some_and(|name| !is_vault_name(name)) {
            problems.refuse("audit.name", VAULT_NAME_RULE);
        }
        store.audit_name.clone_from(&self.name);
        for (index, witness) in self.witnesses.iter().enumerate() {
            store.witnesses.extend(witness.check(index, guard, problems));
        }
        for (index, witness) in self.witnesses.iter().enumerate() {
            let mut before = self.witnesses.iter().take(index);
            if let Some(first) = before.position(|other| other.key == witness.key) {
                let rule =
                    format!("must not be that of audit.witnesses[{first}], too: a witness counts once");
                problems.refuse(&format!("audit.witnesses[{index}].key"), rule);
            }
        }
        let seconds = self.checkpoint_seconds;
        let checkpoint_interval = problems.seconds("audit.checkpoint_seconds", seconds, 1..=DAY_SECONDS);
        Audit { checkpoint_interval }
    }
}

impl WitnessSection {
    fn check(&self, index: usize, guard: &Guard, problems: &mut Problems) -> Option<Witness> {
        let key = |name: &str| format!("audit.witnesses[{index}].{name}");
        let url = Url::parse(&self.url).ok().filter(|url| {
            let is_plain = url.username().is_empty() && url.password().is_none();
            is_plain && url.query().is_none() && url.fragment().is_none()
        });
        match url {
            None => problems.refuse(
                &key("url"),
                "must be a URL without user, query and fragment, such as https://witness.example/vault",
            ),
            Some(url) => {
                problems.take(&key("url"), guard.check_configured_url(&url));
            }
        }
        problems.take(&key("key"), Witness::new(&self.url, &self.key))
    }
}
