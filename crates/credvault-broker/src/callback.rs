//! What a callback says: a code, or a failure. Providers spell failures as they like (RFC 6749, section 4.1.2.1, wants
//! `error`), so whatever holds no code is one; how it is spelled decides only whether the person is said to have declined.

use credvault_catalog::Authorize;

use crate::Callback;

/// What the provider sent the browser back with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallbackResult<'a> {
    /// A code that can be exchanged.
    Code(&'a str),
    /// The account's owner has declined.
    Denial,
    /// Anything else.
    Failure,
}

/// The parameters that name an error, in lower case. Descriptions are left out: they are sentences.
const NAMES: [&str; 7] =
    ["error", "error_code", "errorcode", "error_reason", "error_type", "denied", "reason"];
/// What stands in their values if the person has declined.
const WORDS: [&str; 6] = ["denied", "deny", "cancel", "declin", "reject", "refused"];

impl<'a> Callback<'a> {
    /// Reads the callback of a consent.
    pub fn result(&self, authorize: &Authorize) -> CallbackResult<'a> {
        let given =
            |name: &str| self.parameters.get(name).map(String::as_str).filter(|text| !text.is_empty());
        match given(&authorize.code_parameter) {
            // An error beside a code is an error: no provider that works sends both.
            Some(code) if given("error").is_none() => CallbackResult::Code(code),
            _ if self.is_denial() => CallbackResult::Denial,
            _ => CallbackResult::Failure,
        }
    }

    /// Whether a callback without a code says that the person has declined.
    pub fn is_denial(&self) -> bool {
        self.parameters.iter().any(|(name, value)| {
            let (name, value) = (name.to_ascii_lowercase(), value.to_ascii_lowercase());
            // `denied=TOKEN` and `denied=true`: the name says it.
            NAMES.contains(&name.as_str())
                && (name == "denied" || WORDS.iter().any(|word| value.contains(word)))
        })
    }
}
