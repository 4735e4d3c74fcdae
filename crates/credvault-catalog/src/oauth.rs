//! How a mode gets tokens, keeps them fresh, proves that they work and gives them back.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_domain::FieldName;
use serde::Deserialize;

use crate::answer::{AnswerRules, DetailRules, VerdictRules};
use crate::call::CallTemplates;
use crate::condition::Condition;
use crate::template::Template;

/// What renewing does to the refresh token.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// It stays as it is.
    No,
    /// A new one comes, and the old one goes on working for a while.
    Sliding,
    /// A new one comes, and the old one is dead but for the grace time. Assumed where nobody knows.
    #[default]
    Yes,
}

/// How a callback is signed.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum CallbackSignature {
    /// The parameter `hmac`: hexadecimal HMAC-SHA256 under the app's secret of the other parameters, sorted.
    Shopify,
}

/// Consent in a browser.
#[derive(Debug)]
pub struct Authorize {
    pub(crate) url: Template,
    pub(crate) query: Vec<(Template, Template)>,
    /// The callback's parameter that holds the code.
    pub code: String,
    /// What `iss` must be where the provider sends it (RFC 9207).
    pub issuer: Option<String>,
    /// Whether it always sends `iss`.
    pub sends_issuer: bool,
    /// How the callback is signed.
    pub signature: Option<CallbackSignature>,
    /// Settings that come with the callback: setting to parameter.
    pub settings: BTreeMap<FieldName, String>,
    /// The setting among them that is the account's id at the provider.
    pub account: Option<FieldName>,
    /// Callback parameters that must equal a setting: parameter to setting.
    pub same: BTreeMap<String, FieldName>,
    /// Whether the flow is bound by a PKCE challenge (RFC 7636).
    pub pkce: bool,
}

/// Which scopes are asked for.
#[derive(Debug)]
pub struct Scopes {
    /// What stands between two of them.
    pub separator: String,
    /// Those that are asked for if nobody says which.
    pub default: Vec<String>,
    /// Those that are asked for in any case.
    pub always: Vec<String>,
}

impl Scopes {
    /// What is asked for: these, or the default ones, and those that are asked for in any case.
    pub fn asked(&self, chosen: &[String]) -> Vec<String> {
        let mut asked = if chosen.is_empty() { self.default.clone() } else { chosen.to_vec() };
        for scope in &self.always {
            if !asked.contains(scope) {
                asked.push(scope.clone());
            }
        }
        asked
    }
}

/// What renewing does.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    /// What becomes of the refresh token.
    pub rotates: Rotation,
    /// How long the previous refresh token still works.
    pub grace: Duration,
    /// A refresh token that is not used for so long is dead.
    pub idle: Option<Duration>,
    /// The consent ends so long after it was given, whatever happens.
    pub consent: Option<Duration>,
    /// Whether the code's first token is renewed at once.
    pub at_once: bool,
    /// Whether a refresh token that comes twice may end other consents than its own.
    pub reuse_ends_other_consents: bool,
}

impl Renewal {
    /// Whether the same request can be sent a second time after its answer was lost, without risking the grant.
    pub fn repeatable(&self) -> bool {
        self.rotates != Rotation::Yes || !self.grace.is_zero()
    }
}

/// Everything about a mode whose access tokens end.
#[derive(Debug)]
pub struct OAuth {
    /// Consent in a browser, if the mode has it.
    pub authorize: Option<Authorize>,
    /// Which scopes are asked for.
    pub scopes: Scopes,
    /// What renewing does.
    pub renewal: Renewal,
    /// Whether each connection has a client of its own at the provider, and not the platform's app.
    pub own_client: bool,
    /// Whether all tokens are renewed at one host, and not at one that each account has.
    pub one_host: bool,
    pub(crate) exchange: Option<CallTemplates>,
    pub(crate) after: Option<After>,
    pub(crate) renew: Option<CallTemplates>,
    pub(crate) assertion: Option<AssertionTemplates>,
    pub(crate) answer: AnswerRules,
}

/// A call right after the exchange.
#[derive(Debug)]
pub(crate) struct After {
    pub(crate) call: CallTemplates,
    pub(crate) rules: DetailRules,
    pub(crate) optional: bool,
}

/// The templates of a signed assertion (RFC 7523).
#[derive(Debug)]
pub(crate) struct AssertionTemplates {
    pub(crate) key: Template,
    pub(crate) key_id: Option<Template>,
    pub(crate) claims: BTreeMap<String, Template>,
    pub(crate) lifetime: Duration,
}

/// How a token is given back.
#[derive(Debug)]
pub(crate) struct Revoke {
    pub(crate) call: CallTemplates,
    pub(crate) success: Vec<Condition>,
    pub(crate) gone: Vec<Condition>,
}

/// How a credential is verified.
#[derive(Debug)]
pub(crate) struct Verify {
    pub(crate) call: CallTemplates,
    pub(crate) rules: VerdictRules,
}
