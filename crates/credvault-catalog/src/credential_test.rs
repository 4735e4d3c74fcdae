//! The call that shows whether a credential works and whose account it reaches.

use serde_json::Value;

use crate::call::Call;
use crate::condition::{Condition, any_holds, is_success};
use crate::path::Path;
use crate::refusal::RefusalKind;

/// A call that tests a credential, and how its answer is read.
#[derive(Debug)]
pub struct CredentialTest {
    /// The call. It also carries what the mode's own requests carry.
    pub call: Call,
    pub(crate) success: Vec<Condition>,
    pub(crate) account_id: Option<Path>,
    pub(crate) account_display_name: Option<Path>,
    pub(crate) rejected: Vec<Condition>,
    pub(crate) forbidden: Vec<Condition>,
    pub(crate) rate_limited: Vec<Condition>,
}

/// What the answer to the test says about the credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The provider accepts the credential.
    Works {
        /// The account's id at the provider.
        account: Option<String>,
        /// The account's name for people.
        name: Option<String>,
    },
    /// The provider accepts the credential and forbids this call.
    Limited,
    /// The provider rejects the credential.
    Refused,
    /// The answer says nothing about the credential.
    Unclear(RefusalKind),
}

impl CredentialTest {
    /// Reads the answer to the call.
    pub fn read(&self, status: u16, body: &Value) -> Verdict {
        if any_holds(&self.rate_limited, status, body) {
            Verdict::Unclear(RefusalKind::RateLimited)
        } else if any_holds(&self.rejected, status, body) {
            Verdict::Refused
        } else if any_holds(&self.forbidden, status, body) {
            Verdict::Limited
        } else if is_success(&self.success, status, body) {
            let text = |path: &Option<Path>| path.as_ref().and_then(|path| path.text(body));
            Verdict::Works { account: text(&self.account_id), name: text(&self.account_display_name) }
        } else {
            Verdict::Unclear(RefusalKind::of_status(status, !body.is_null()))
        }
    }
}
