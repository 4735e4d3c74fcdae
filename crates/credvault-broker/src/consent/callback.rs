//! What a callback says: a code, or a failure. Providers spell failures in many ways (RFC 6749, section 4.1.2.1, wants
//! `error`), so a callback without a code is a failure. Its spelling only decides whether the owner has declined.

use std::collections::BTreeMap;

use credvault_catalog::{Authorize, CallbackSignature};
use credvault_domain::Violations;
use credvault_store::UsableApp;
use serde_json::Value;

use super::callback_signature::is_signed_by_shopify;
use super::target::Target;

/// The parameters with which the provider sent the browser back.
#[derive(Clone, Copy)]
pub struct Callback<'a> {
    /// The query parameters, decoded.
    pub parameters: &'a BTreeMap<String, String>,
}

/// What the parameters of a callback mean. Nothing vouches for it yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallbackResult<'a> {
    /// A code that can be exchanged.
    Code(&'a str),
    /// The account's owner has declined.
    Denial,
    /// Any other callback without a code.
    Failure,
}

/// The parameters that name an error, in lower case. Descriptions are left out, because they are sentences.
const ERROR_PARAMETERS: [&str; 7] =
    ["error", "error_code", "errorcode", "error_reason", "error_type", "denied", "reason"];
/// Parts of their values that say that the owner has declined.
const DENIAL_WORDS: [&str; 6] = ["denied", "deny", "cancel", "declin", "reject", "refused"];

impl<'a> Callback<'a> {
    /// Reads the callback of a consent.
    pub fn result(&self, authorize: &Authorize) -> CallbackResult<'a> {
        let given =
            |name: &str| self.parameters.get(name).map(String::as_str).filter(|text| !text.is_empty());
        match given(&authorize.code_parameter) {
            // A code beside an error does not count: no provider that works sends both.
            Some(code) if given("error").is_none() => CallbackResult::Code(code),
            _ if self.is_denial() => CallbackResult::Denial,
            _ => CallbackResult::Failure,
        }
    }

    /// Whether a callback without a code says that the owner has declined.
    pub fn is_denial(&self) -> bool {
        self.parameters.iter().any(|(name, value)| {
            let (name, value) = (name.to_ascii_lowercase(), value.to_ascii_lowercase());
            // `denied=TOKEN` and `denied=true`: the name says it.
            ERROR_PARAMETERS.contains(&name.as_str())
                && (name == "denied" || DENIAL_WORDS.iter().any(|word| value.contains(word)))
        })
    }

    /// The state, which says whose consent it is.
    ///
    /// # Errors
    /// There is none.
    pub fn state(&self) -> Result<&str, Violations> {
        self.required("state")
    }

    /// A parameter that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Violations> {
        let value = self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            Violations::of(format!("parameters[{name}]"), "must be given exactly as the callback had it")
        })
    }

    /// Checks what the provider vouches for: that it is the issuer that was asked, that it has signed the parameters, and
    /// that they name the account that was asked for.
    pub(super) fn check(
        &self,
        target: Target<'_>,
        authorize: &Authorize,
        usable: &UsableApp,
    ) -> Result<(), Violations> {
        let Target { connection, mode, .. } = target;
        let wrong = |name: &str, rule: &str| Err(Violations::of(format!("parameters[{name}]"), rule));
        if let Some(expected) = mode.issuer(&connection.config) {
            match self.parameters.get("iss") {
                Some(issuer) if *issuer == expected => {}
                None if !mode.sends_issuer(&connection.config) => {}
                _ => return wrong("iss", "must be the issuer at which the consent was requested"),
            }
        }
        match authorize.signature {
            Some(CallbackSignature::Shopify) if !is_signed_by_shopify(self.parameters, usable) => {
                return wrong("hmac", "must be the provider's signature over the other parameters");
            }
            _ => {}
        }
        for (parameter, setting) in &authorize.must_match {
            let expected = connection.config.get(setting.as_str()).and_then(Value::as_str);
            if self.parameters.get(parameter).map(String::as_str) != expected {
                return wrong(parameter, "must have the value with which the consent was requested");
            }
        }
        Ok(())
    }
}
