//! The shape of what a provider file says about calls to the provider.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::BasicFile;
use crate::call::Method;
use crate::oauth::{CallbackSignature, Rotation};
use crate::path::PathFile;
use crate::webhook::{Encoding, KeyEncoding, Scheme, TimestampForm};

/// A call: each value a template. An entry whose placeholders marked with `?`, as in `{config.team_id?}`, have no value is
/// left out; without a value for any other, the call is not made.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallFile {
    /// POST if there is a body, GET otherwise.
    #[serde(default)]
    pub(crate) method: Option<Method>,
    pub(crate) url: String,
    /// HTTP basic authentication (RFC 7617).
    #[serde(default)]
    pub(crate) basic: Option<BasicFile>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) query: BTreeMap<String, String>,
    /// A body of `application/x-www-form-urlencoded`.
    #[serde(default)]
    pub(crate) form: BTreeMap<String, String>,
    /// A body of JSON; its strings are templates.
    #[serde(default)]
    pub(crate) json: Option<BTreeMap<String, Value>>,
    /// Whether what the mode's requests carry is left out of this call, where it would be added.
    #[serde(default)]
    pub(crate) bare: bool,
}

/// Something about an answer. Status and path must both hold where both are given.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionFile {
    #[serde(default)]
    pub(crate) status: Option<u16>,
    /// Where in the JSON body, as `data.error.code`. Something must stand there that is not null, and at most one of
    /// the following says what.
    #[serde(default)]
    pub(crate) path: Option<PathFile>,
    /// Nothing stands there, or null.
    #[serde(default)]
    pub(crate) absent: bool,
    /// It is one of these, or a list with one of these in it.
    #[serde(default)]
    pub(crate) any: Option<Vec<Value>>,
    /// It is none of these.
    #[serde(default)]
    pub(crate) except: Option<Vec<Value>>,
    /// It is a whole number from the first to the second.
    #[serde(default)]
    pub(crate) between: Option<(i64, i64)>,
    /// It is a text that contains this, whatever its case.
    #[serde(default)]
    pub(crate) contains: Option<String>,
}

/// Which scopes are asked for.
#[derive(Deserialize, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScopesFile {
    /// What stands between two of them.
    pub(crate) separator: String,
    /// Those that are asked for if nobody says which.
    pub(crate) default: Vec<String>,
    /// Those that are asked for in any case.
    pub(crate) always: Vec<String>,
}

impl Default for ScopesFile {
    fn default() -> Self {
        Self { separator: " ".to_owned(), default: Vec::new(), always: Vec::new() }
    }
}

/// Where the user consents, and what comes back.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthorizeFile {
    pub(crate) url: String,
    pub(crate) query: BTreeMap<String, String>,
    /// The callback's parameter that holds the code.
    #[serde(default = "code")]
    pub(crate) code: String,
    /// What `iss` must be where the provider sends it (RFC 9207).
    #[serde(default)]
    pub(crate) issuer: Option<String>,
    /// Whether it always sends `iss`, as its metadata says with `authorization_response_iss_parameter_supported`: a
    /// callback without one is refused then. Needs `issuer`.
    #[serde(default)]
    pub(crate) sends_issuer: bool,
    /// How the callback is signed.
    #[serde(default)]
    pub(crate) signature: Option<CallbackSignature>,
    /// Settings that come with the callback: setting to parameter.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
    /// The setting among them that is the account's id at the provider.
    #[serde(default)]
    pub(crate) account: Option<String>,
    /// Callback parameters that must equal a setting: parameter to setting.
    #[serde(default)]
    pub(crate) same: BTreeMap<String, String>,
}

fn code() -> String {
    "code".to_owned()
}

/// Where the owner consents to a hand-off of keys, and how the provider hands them over: it posts JSON to
/// `{flow.handoff_uri}` and sends the browser to `{flow.redirect_uri}` once that was taken.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandOffFile {
    pub(crate) url: String,
    pub(crate) query: BTreeMap<String, String>,
    /// Where the state stands in what the provider posts: a path.
    pub(crate) state: PathFile,
    /// The secret fields in it: field to path. All must be there.
    pub(crate) fields: BTreeMap<String, PathFile>,
    pub(crate) callback: HandOffCallbackFile,
}

/// How the browser comes back from a hand-off.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandOffCallbackFile {
    /// The parameter that holds the state.
    pub(crate) state: String,
    /// What parameters are if the owner has consented. Anything else is a denial.
    pub(crate) success: BTreeMap<String, String>,
}

/// A signed assertion (RFC 7523) that stands for `{flow.assertion}`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssertionFile {
    /// The private key, RSA in PEM; signed with RS256. A credential whose key cannot sign is not taken.
    pub(crate) key: String,
    /// The `kid` of its header.
    #[serde(default)]
    pub(crate) key_id: Option<String>,
    /// Claims beside `iat` and `exp`.
    pub(crate) claims: BTreeMap<String, String>,
    /// From `iat` to `exp`. `iat` is a minute back, for providers whose clock is behind ours.
    pub(crate) lifetime_seconds: u64,
}

/// How an answer with tokens is read. Each value is a path, or several of which the first counts that leads somewhere.
#[derive(Deserialize, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AnswerFile {
    /// What must hold beside a status of 2xx.
    pub(crate) success: Vec<ConditionFile>,
    pub(crate) access_token: PathFile,
    pub(crate) refresh_token: PathFile,
    /// A number of seconds, as number or text, with or without a fraction. No life is taken to be longer than this says,
    /// nor longer than 400 days.
    pub(crate) lifetime: PathFile,
    /// Instead of a lifetime: an instant, in seconds since 1970 or as RFC 3339.
    pub(crate) expires_at: Option<PathFile>,
    /// The lifetime where the answer names none; without this, such a token has no end. It also counts where the answer
    /// names zero, less than that, or an instant that has passed; without this, that is one hour. What is neither a
    /// number nor an instant is one hour, or this if it is shorter.
    pub(crate) default_lifetime_seconds: Option<u64>,
    /// A number of seconds after which the refresh token is dead if nobody uses it.
    pub(crate) refresh_lifetime: PathFile,
    /// Instead of that: an instant, in seconds since 1970 or as RFC 3339.
    pub(crate) refresh_expires_at: Option<PathFile>,
    /// The granted scopes: a text with separators, or a list.
    pub(crate) scope: PathFile,
    /// What stands between two granted scopes, if not what stands between two asked for.
    pub(crate) scope_separator: Option<String>,
    /// Settings that come with the tokens: setting to path.
    pub(crate) settings: BTreeMap<String, PathFile>,
    /// Further secret fields that come with them: field to path.
    pub(crate) secrets: BTreeMap<String, PathFile>,
    /// The account's id at the provider.
    pub(crate) account: Option<PathFile>,
    /// The code of a refusal: of these the first that is a plain word. It is shown to callers, so nothing that may be
    /// secret can stand there.
    pub(crate) code: PathFile,
}

impl Default for AnswerFile {
    fn default() -> Self {
        let code = ["error", "error.code", "errors.0.code"];
        Self {
            code: PathFile::Several(code.map(str::to_owned).to_vec()),
            success: Vec::new(),
            access_token: PathFile::One("access_token".to_owned()),
            refresh_token: PathFile::One("refresh_token".to_owned()),
            lifetime: PathFile::One("expires_in".to_owned()),
            expires_at: None,
            default_lifetime_seconds: None,
            refresh_lifetime: PathFile::One("refresh_token_expires_in".to_owned()),
            refresh_expires_at: None,
            scope: PathFile::One("scope".to_owned()),
            scope_separator: None,
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            account: None,
        }
    }
}

/// A call right after the exchange, with the new tokens, for settings that the tokens' own answer does not have.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct AfterFile {
    /// The mode's request headers and query parameters are added, unless the call names the same.
    pub(crate) call: CallFile,
    /// What must hold beside a status of 2xx.
    #[serde(default)]
    pub(crate) success: Vec<ConditionFile>,
    /// Setting to path. What is not there leaves the setting as it is.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, PathFile>,
    /// The account's id at the provider.
    #[serde(default)]
    pub(crate) account: Option<PathFile>,
    /// Whether a consent ends well without it.
    #[serde(default)]
    pub(crate) optional: bool,
}

/// What renewing does, and what its errors mean.
#[derive(Deserialize, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RenewalFile {
    /// What becomes of the refresh token.
    pub(crate) rotates: Rotation,
    /// How long the previous refresh token still works.
    pub(crate) grace_seconds: u64,
    /// A refresh token that is not used for so long is dead.
    pub(crate) idle_seconds: Option<u64>,
    /// The consent ends so long after it was given, whatever happens.
    pub(crate) consent_seconds: Option<u64>,
    /// Whether the code's first token is renewed at once, for one that lives longer.
    pub(crate) at_once: bool,
    /// Whether the provider, when a dead refresh token comes again, may end other consents beside its own: those of the
    /// same account, or of the same app. After an outcome that is not known, such a token is sent once more and then no
    /// more by itself. Otherwise it is sent until the provider has spoken, for that costs what giving up costs.
    pub(crate) reuse_ends_other_consents: bool,
    /// Answers that mean: only a new consent helps. Beside `error` = `invalid_grant`, and `invalid_client` and
    /// `unauthorized_client` where the renewal sends nothing of the platform's app: the client is the connection's own. Each
    /// must look for something in the body: a status alone may be a gateway's.
    pub(crate) dead: Vec<ConditionFile>,
    /// Answers that mean: the app's own credentials are wrong. Beside `invalid_client` and
    /// `unauthorized_client` where the client is the platform's.
    pub(crate) app: Vec<ConditionFile>,
    /// Answers that mean: too fast. Beside status 429.
    pub(crate) throttled: Vec<ConditionFile>,
    /// Answers that mean: another request with this refresh token is under way. They count before `dead` and `app`.
    pub(crate) busy: Vec<ConditionFile>,
    /// Answers that mean: the times in a signed assertion are wrong. They count before `dead` and `app`, too.
    pub(crate) clock: Vec<ConditionFile>,
}

/// How the provider is told that a token is not needed any more.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeFile {
    pub(crate) call: CallFile,
    /// What must hold beside a status of 2xx.
    #[serde(default)]
    pub(crate) success: Vec<ConditionFile>,
    /// Answers that mean: it was not known any more.
    #[serde(default)]
    pub(crate) gone: Vec<ConditionFile>,
}

/// A call that shows whether a credential works, and whose it is.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyFile {
    /// The mode's request headers and query parameters are added, unless the call names the same.
    pub(crate) call: CallFile,
    /// What must hold beside a status of 2xx.
    #[serde(default)]
    pub(crate) success: Vec<ConditionFile>,
    /// The account's id at the provider: a path.
    #[serde(default)]
    pub(crate) account: Option<PathFile>,
    /// What people call the account: a path.
    #[serde(default)]
    pub(crate) name: Option<PathFile>,
    /// Answers that mean: the credential is not accepted. Status 401 if there are none.
    #[serde(default)]
    pub(crate) dead: Vec<ConditionFile>,
    /// Answers that mean: it is accepted and may not do this. Status 403 if there are none.
    #[serde(default)]
    pub(crate) limited: Vec<ConditionFile>,
    /// Answers that mean: too fast. Beside status 429.
    #[serde(default)]
    pub(crate) throttled: Vec<ConditionFile>,
}

/// How webhooks of the provider are signed.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookFile {
    #[serde(default)]
    pub(crate) scheme: Scheme,
    /// The header with the signature.
    #[serde(default)]
    pub(crate) signature: Option<String>,
    /// What stands before it.
    #[serde(default)]
    pub(crate) prefix: String,
    #[serde(default)]
    pub(crate) encoding: Encoding,
    /// What is signed: a template over `{method}`, `{url}`, `{target}` (path and query), `{body}`, `{body_sha256}`
    /// (lower-case hexadecimal), `{timestamp}` and `{id}` as they were sent, `{app.client_id}`.
    #[serde(default)]
    pub(crate) signed: Option<String>,
    /// The header with the time.
    #[serde(default)]
    pub(crate) timestamp: Option<String>,
    #[serde(default)]
    pub(crate) timestamp_form: TimestampForm,
    /// The most that the time may differ from ours.
    #[serde(default)]
    pub(crate) tolerance_seconds: Option<u64>,
    /// The header with the delivery's id, to notice a second arrival.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// Where the keys are: `secret.X`, `app.client_secret`, or `app.X` where `[app.X]` is secret. Each that is there is tried.
    #[serde(default)]
    pub(crate) keys: Vec<String>,
    #[serde(default)]
    pub(crate) key_encoding: KeyEncoding,
    /// Where the provider publishes its keys, for the scheme `ebay`.
    #[serde(default)]
    pub(crate) public_keys: Option<PublicKeysFile>,
    /// Whose account a delivery is about, in one or more ways. What is signed for the platform's app, and not with a key of
    /// the connection's own, is valid only where one of these is the connection's account. Leave this out only where the
    /// app serves one account: then such a delivery is valid at any connection, once, and `account_matched` is false.
    #[serde(default)]
    pub(crate) account: Vec<DeliveryAccountFile>,
    /// Requests that are no deliveries: with them the provider asks whether the endpoint is there.
    #[serde(default)]
    pub(crate) handshakes: Vec<HandshakeFile>,
}

/// Where an account stands in a delivery: in a header, which nothing signs, or in the body, which is signed.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveryAccountFile {
    #[serde(default)]
    pub(crate) header: Option<String>,
    /// A path in the body, JSON or form; a list on the way stands for each of its elements, and a form's value that is
    /// JSON for that.
    #[serde(default)]
    pub(crate) path: Option<PathFile>,
    /// What stands before it.
    #[serde(default)]
    pub(crate) prefix: String,
    /// The setting that it must equal, instead of the account's id at the provider.
    #[serde(default)]
    pub(crate) setting: Option<String>,
}

/// A request by which a provider asks whether an endpoint is there.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandshakeFile {
    /// The HTTP method, POST if there is none. With GET the conditions are about the query.
    #[serde(default)]
    pub(crate) method: Option<Method>,
    /// Whether it is signed like a delivery.
    #[serde(default)]
    pub(crate) signed: bool,
    /// What all must hold of its body or query.
    pub(crate) when: Vec<ConditionFile>,
    /// Where it repeats a secret that we chose.
    #[serde(default)]
    pub(crate) token: Option<HandshakeTokenFile>,
    /// What to answer, as a sentence.
    pub(crate) answer: String,
}

/// A secret that a handshake repeats.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandshakeTokenFile {
    /// Where it stands in the body or query.
    pub(crate) path: PathFile,
    /// Where it is kept, like a key of deliveries.
    pub(crate) key: String,
}

/// The calls that give a public key. Settings in them are those of every mode.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublicKeysFile {
    /// Gives a token of the app's own: `access_token`, `expires_in`.
    pub(crate) token: CallFile,
    /// Gives the key `{flow.key_id}` as `key`, PEM. The token is `{flow.token}`.
    pub(crate) key: CallFile,
}
