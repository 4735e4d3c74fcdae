//! The shape of consents, tokens and refreshes in a provider file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::call::{CallFile, ConditionFile, PathFile};
use crate::oauth::{CallbackSignature, Rotation};

/// The scopes that are asked for.
#[derive(Deserialize, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScopesFile {
    /// The text between two scopes.
    pub(crate) separator: String,
    /// The scopes for callers that choose none.
    pub(crate) default: Vec<String>,
    /// The scopes that are added to every request.
    pub(crate) always: Vec<String>,
}

impl Default for ScopesFile {
    fn default() -> Self {
        Self { separator: " ".to_owned(), default: Vec::new(), always: Vec::new() }
    }
}

/// Consent in a browser, and the callback that brings the code.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthorizeFile {
    /// The provider's page, without its query.
    pub(crate) url: String,
    /// The page's query parameters. One of them sends `{flow.state}`.
    pub(crate) query: BTreeMap<String, String>,
    /// The callback's parameter that holds the code.
    #[serde(default = "code")]
    pub(crate) code_parameter: String,
    /// The value that the callback's `iss` must have, where the provider sends it (RFC 9207).
    #[serde(default)]
    pub(crate) issuer: Option<String>,
    /// Whether the provider always sends `iss`, as its metadata says with
    /// `authorization_response_iss_parameter_supported`. A callback without it is then refused. Needs `issuer`.
    #[serde(default)]
    pub(crate) sends_issuer: bool,
    /// How the callback is signed.
    #[serde(default)]
    pub(crate) signature: Option<CallbackSignature>,
    /// Settings that come with the callback: from the setting to the parameter.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
    /// The setting among these that is the account's id at the provider.
    #[serde(default)]
    pub(crate) account_id_setting: Option<String>,
    /// Callback parameters that must equal a setting: from the parameter to the setting.
    #[serde(default)]
    pub(crate) must_match: BTreeMap<String, String>,
}

fn code() -> String {
    "code".to_owned()
}

/// Consent in a browser, after which the provider posts the credential as JSON to `{flow.delivery_uri}` and then sends
/// the browser to `{flow.redirect_uri}`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveryFile {
    /// The provider's page, without its query.
    pub(crate) url: String,
    /// The page's query parameters. They send `{flow.state}` and both URIs.
    pub(crate) query: BTreeMap<String, String>,
    /// The path of the state in the posted JSON.
    pub(crate) state: PathFile,
    /// The path of each secret field in the posted JSON. All must be there.
    pub(crate) fields: BTreeMap<String, PathFile>,
    /// How the browser's return is read.
    pub(crate) callback: DeliveryCallbackFile,
}

/// How the browser's return from a delivery is read.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveryCallbackFile {
    /// The callback's parameter that holds the state.
    pub(crate) state_parameter: String,
    /// The callback's parameters, with their values, if the owner has consented. Anything else is a denial.
    pub(crate) success: BTreeMap<String, String>,
}

/// The call right after the exchange, for settings that the token response does not have.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostExchangeFile {
    /// The call. It also carries what the mode's own requests carry, except headers and parameters that it names
    /// itself.
    pub(crate) call: CallFile,
    /// Conditions of a success, beside a status of 2xx.
    #[serde(default)]
    pub(crate) success: Vec<ConditionFile>,
    /// The path of each setting in the answer. A setting stays as it is if the answer does not have it.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, PathFile>,
    /// The path of the account's id at the provider.
    #[serde(default)]
    pub(crate) account_id: Option<PathFile>,
    /// Whether the consent succeeds without an answer to this call.
    #[serde(default)]
    pub(crate) optional: bool,
}

/// How a new access token is got from what is stored (by refresh token, client credentials, assertion or token
/// exchange), and what becomes of refresh tokens.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshFile {
    /// The call that gives a new access token.
    pub(crate) call: CallFile,
    /// The signed assertion that the call sends as `{flow.assertion}`.
    #[serde(default)]
    pub(crate) assertion: Option<AssertionFile>,
    /// What a refresh does to the refresh token.
    #[serde(default)]
    pub(crate) rotates: Rotation,
    /// How long the previous refresh token works after a refresh.
    #[serde(default)]
    pub(crate) grace_seconds: u64,
    /// How long an unused refresh token works.
    #[serde(default)]
    pub(crate) idle_timeout_seconds: Option<u64>,
    /// How long a consent lasts, whatever happens. For the page of providers only.
    #[serde(default)]
    pub(crate) consent_lifetime_seconds: Option<u64>,
    /// Whether the first token is refreshed right after the exchange, or after a caller has stored it, for one that lives
    /// longer.
    #[serde(default)]
    pub(crate) refresh_immediately: bool,
    /// Whether the provider may end other consents of the account or the app if a spent refresh token is sent again.
    /// After an outcome that is not known, the vault then sends the token once more and no further. Otherwise it
    /// repeats until the provider answers, because that costs no more than giving up.
    #[serde(default)]
    pub(crate) reuse_ends_other_consents: bool,
}

/// A signed assertion (RFC 7523).
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssertionFile {
    /// The private key, PEM or JWK. A credential whose key cannot sign is refused. A certificate beside it in the PEM
    /// gives the header `x5t#S256`.
    pub(crate) key: String,
    /// The `kid` of the header, unless the JWK has one.
    #[serde(default)]
    pub(crate) key_id: Option<String>,
    /// The algorithms that the provider accepts, the preferred one first.
    #[serde(default)]
    pub(crate) algorithms: Vec<String>,
    /// The claims except `iat` and `exp`.
    pub(crate) claims: BTreeMap<String, String>,
    /// The time from `iat` to `exp`. `iat` is a minute in the past, for providers whose clock is behind.
    pub(crate) lifetime_seconds: u64,
}

/// How the answers to an exchange and a refresh are read (RFC 6749, section 5).
#[derive(Deserialize, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TokenResponseFile {
    /// Conditions of a success, beside a status of 2xx.
    pub(crate) success: Vec<ConditionFile>,
    /// The path of the access token.
    pub(crate) access_token: PathFile,
    /// The path of the refresh token.
    pub(crate) refresh_token: PathFile,
    /// The path of the access token's lifetime: seconds, as number or text, with or without a fraction. The vault plans
    /// with no longer lifetime than this, and with 400 days at most.
    pub(crate) expires_in: PathFile,
    /// The path of the access token's end, instead of its lifetime: seconds since 1970, or RFC 3339.
    pub(crate) expires_at: Option<PathFile>,
    /// The access token's lifetime if the answer names none. Without this, such a token does not expire. If the answer
    /// names zero, a negative number or a past instant, this counts as well, or one hour without it. If the answer
    /// names something that cannot be read, one hour counts, or this if it is shorter.
    pub(crate) default_lifetime_seconds: Option<u64>,
    /// The path of the time, in seconds, for which the refresh token works if it is not used.
    pub(crate) refresh_token_expires_in: PathFile,
    /// The path of that time's end, instead of its length: seconds since 1970, or RFC 3339.
    pub(crate) refresh_token_expires_at: Option<PathFile>,
    /// The path of the granted scopes: a text with separators, or a list.
    pub(crate) scope: PathFile,
    /// The text between two granted scopes, if it differs from the one between two that are asked for.
    pub(crate) scope_separator: Option<String>,
    /// The path of each setting that the answer contains.
    pub(crate) settings: BTreeMap<String, PathFile>,
    /// The path of each further secret field that the answer contains.
    pub(crate) secrets: BTreeMap<String, PathFile>,
    /// The path of the account's id at the provider.
    pub(crate) account_id: Option<PathFile>,
    /// The path of a refusal's error code. The first one of these that is a plain word is shown to callers, so no
    /// secret may stand there.
    pub(crate) error_code: PathFile,
    /// Answers that mean that only a new consent helps, beside `error` = `invalid_grant`; also beside `invalid_client`
    /// and `unauthorized_client` if the refresh sends nothing of the platform's app, for then the client is the
    /// connection's own. Each must ask something of the body: a status alone may be a gateway's.
    pub(crate) invalid_grant: Vec<ConditionFile>,
    /// Answers that mean that the provider rejects the platform's app. `invalid_client` and `unauthorized_client` do,
    /// too, if the client is the platform's and no other list of the file has them.
    pub(crate) invalid_client: Vec<ConditionFile>,
    /// Answers that mean that the provider asks for fewer calls, beside status 429.
    pub(crate) rate_limited: Vec<ConditionFile>,
    /// Answers that mean that another request with this refresh token is in progress. They count before `invalid_grant`
    /// and `invalid_client`.
    pub(crate) concurrent_request: Vec<ConditionFile>,
    /// Answers that mean that the times in a signed assertion are wrong. They count before `invalid_grant` and
    /// `invalid_client`, too.
    pub(crate) clock_skew: Vec<ConditionFile>,
}

impl Default for TokenResponseFile {
    fn default() -> Self {
        let one = |path: &str| PathFile::One(path.to_owned());
        let error_code = ["error", "error.code", "errors.0.code"];
        Self {
            success: Vec::new(),
            access_token: one("access_token"),
            refresh_token: one("refresh_token"),
            expires_in: one("expires_in"),
            expires_at: None,
            default_lifetime_seconds: None,
            refresh_token_expires_in: one("refresh_token_expires_in"),
            refresh_token_expires_at: None,
            scope: one("scope"),
            scope_separator: None,
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            account_id: None,
            error_code: PathFile::Several(error_code.map(str::to_owned).to_vec()),
            invalid_grant: Vec::new(),
            invalid_client: Vec::new(),
            rate_limited: Vec::new(),
            concurrent_request: Vec::new(),
            clock_skew: Vec::new(),
        }
    }
}
