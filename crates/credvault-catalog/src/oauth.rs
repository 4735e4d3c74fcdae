//! How a mode gets tokens by OAuth 2.0 and refreshes them, as data. Requests are made by `Mode`, and sent by the
//! broker.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_domain::FieldName;
use serde::Deserialize;

use crate::assertion::AssertionTemplates;
use crate::call::Call;
use crate::consent_page::ConsentPage;
use crate::post_exchange::PostExchange;
use crate::scopes::Scopes;
use crate::template::Template;
use crate::token_response::TokenResponse;

/// Everything about a mode whose access tokens come from a token endpoint.
#[derive(Debug)]
pub struct OAuth {
    /// The consent in a browser and the exchange of its code, if the mode has them.
    pub code: Option<CodeGrant>,
    /// The scopes that are asked for.
    pub scopes: Scopes,
    /// How a new access token is got without a consent, if that is possible.
    pub refresh: Option<Refresh>,
    /// The assertion by which calls prove who the client is, if its key is there.
    pub client_assertion: Option<AssertionTemplates>,
    /// Whether each connection has a client of its own at the provider, instead of the platform's app.
    pub client_per_connection: bool,
    /// Whether the refreshes of all connections go to one host, instead of to a host of each account.
    pub shared_token_host: bool,
    /// How answers with tokens are read.
    pub response: TokenResponse,
}

/// The authorization code grant (RFC 6749, section 4.1).
#[derive(Debug)]
pub struct CodeGrant {
    /// The page on which the account's owner consents, and what comes back from it.
    pub authorize: Authorize,
    /// The call that gives tokens for a code.
    pub exchange: Call,
    /// The call right after the exchange, if there is one.
    pub post_exchange: Option<PostExchange>,
}

/// Consent in a browser, and the callback that follows it.
#[derive(Debug)]
pub struct Authorize {
    /// The page that the browser is sent to.
    pub page: ConsentPage,
    /// The callback's parameter that holds the code.
    pub code_parameter: String,
    /// The value that the callback's `iss` must have, where the provider sends it (RFC 9207).
    pub(crate) issuer: Option<Template>,
    /// Whether the provider always sends `iss`, so that a callback without it is refused.
    pub(crate) sends_issuer: bool,
    /// The setting that says the same, where it differs from server to server.
    pub(crate) sends_issuer_setting: Option<FieldName>,
    /// How the callback is signed.
    pub signature: Option<CallbackSignature>,
    /// Settings that come with the callback: from the setting to the parameter.
    pub settings: BTreeMap<FieldName, String>,
    /// The setting among these that is the account's id at the provider.
    pub account_id_setting: Option<FieldName>,
    /// Callback parameters that must equal a setting: from the parameter to the setting.
    pub must_match: BTreeMap<String, FieldName>,
    /// Whether the flow is bound by a PKCE challenge (RFC 7636).
    pub pkce: bool,
}

/// How a callback is signed.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum CallbackSignature {
    /// The parameter `hmac`: hexadecimal HMAC-SHA256 of the other parameters, sorted, with the app's secret as the key.
    Shopify,
}

/// How a new access token is got from what is stored: by refresh token, client credentials, assertion or token
/// exchange.
#[derive(Debug)]
pub struct Refresh {
    /// The call that gives a new access token.
    pub call: Call,
    /// The assertion that must be signed first, if the call sends one.
    pub assertion: Option<AssertionTemplates>,
    /// What becomes of refresh tokens.
    pub policy: RefreshPolicy,
}

/// What a refresh does to the refresh token.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// The refresh token stays the same.
    No,
    /// A new one comes, and the previous one works for a while longer.
    Sliding,
    /// A new one comes, and the previous one works only for the grace time. Assumed where the provider does not say.
    #[default]
    Yes,
}

/// What becomes of refresh tokens and consents over time.
#[derive(Clone, Copy, Debug)]
pub struct RefreshPolicy {
    /// What a refresh does to the refresh token.
    pub rotates: Rotation,
    /// How long the previous refresh token works after a refresh.
    pub grace: Duration,
    /// How long an unused refresh token works.
    pub idle: Option<Duration>,
    /// How long a consent lasts, whatever happens.
    pub consent: Option<Duration>,
    /// Whether the first token is refreshed right after the exchange, or after a caller has stored it, for one that lives
    /// longer.
    pub refresh_immediately: bool,
    /// Whether the provider may end other consents if a spent refresh token is sent again.
    pub reuse_ends_other_consents: bool,
}

impl RefreshPolicy {
    /// Whether a refresh whose answer was lost can be sent again without risking the consent.
    pub fn repeatable(&self) -> bool {
        self.rotates != Rotation::Yes || !self.grace.is_zero()
    }
}
