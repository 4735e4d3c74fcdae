//! The call right after a code exchange: it asks, with the new tokens, for settings that the token response does not
//! have.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::call::Call;
use crate::condition::{Condition, is_success};
use crate::path::Path;
use crate::refusal::RefusalKind;
use crate::setting_paths::SettingPaths;

/// A call right after the exchange, and how its answer is read.
#[derive(Debug)]
pub struct PostExchange {
    /// The call. It also carries what the mode's own requests carry.
    pub call: Call,
    /// Whether the consent succeeds without an answer to the call.
    pub optional: bool,
    pub(crate) success: Vec<Condition>,
    pub(crate) settings: SettingPaths,
    pub(crate) account_id: Option<Path>,
}

/// What a provider says about the account after it gave tokens.
#[derive(PartialEq, Eq, Debug)]
pub struct Details {
    /// Settings by name, not yet checked.
    pub settings: BTreeMap<String, Value>,
    /// The account's id at the provider.
    pub account: Option<String>,
}

impl PostExchange {
    /// Reads the answer to the call.
    ///
    /// # Errors
    /// The kind of refusal, if the answer is not a success.
    pub fn read(&self, status: u16, body: &Value) -> Result<Details, RefusalKind> {
        if !is_success(&self.success, status, body) {
            return Err(RefusalKind::of_status(status, !body.is_null()));
        }
        let account = self.account_id.as_ref().and_then(|path| path.text(body));
        Ok(Details { settings: self.settings.read(body), account })
    }
}
