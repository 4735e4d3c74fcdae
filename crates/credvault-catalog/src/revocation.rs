//! The call that revokes a token at the provider (RFC 7009, or the provider's own way).

use serde_json::Value;

use crate::call::Call;
use crate::condition::{Condition, any_holds, is_success};
use crate::template::{Placeholder, Template};

/// A call that revokes a token, and how its answer is read.
#[derive(Debug)]
pub struct RevocationCall {
    /// The call that revokes the token.
    pub call: Call,
    pub(crate) success: Vec<Condition>,
    pub(crate) already_revoked: Vec<Condition>,
}

impl RevocationCall {
    /// Whether the answer says that the token is revoked now, by this call or before it.
    pub fn succeeded(&self, status: u16, body: &Value) -> bool {
        self.has_revoked(status, body) || any_holds(&self.already_revoked, status, body)
    }

    /// Whether the answer says that this very call has revoked the token.
    pub fn has_revoked(&self, status: u16, body: &Value) -> bool {
        is_success(&self.success, status, body)
    }

    /// Whether the call says which key it ends. One that does not may end another one, if it is repeated.
    pub fn names_key(&self) -> bool {
        let is_id = |placeholder: &Placeholder| *placeholder == Placeholder::Flow("old_key_id");
        self.call.templates().any(|template: &Template| template.placeholders().any(is_id))
    }
}
