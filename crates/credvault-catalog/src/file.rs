//! The shape of a provider file, before its parts are checked against each other.

pub(crate) mod oauth;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A provider file. Every key that is not here is an error.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderFile {
    /// The provider's id; the file is called `{id}.toml`.
    pub(crate) id: String,
    /// The provider's own name.
    pub(crate) name: String,
    /// Where the provider documents its API.
    #[serde(default)]
    pub(crate) documentation: Option<String>,
    /// What nobody has confirmed, in sentences.
    #[serde(default)]
    pub(crate) uncertain: Vec<String>,
    /// How many calls it takes.
    #[serde(default)]
    pub(crate) rate_limit: Option<super::RateLimit>,
    /// Settings that every mode has.
    #[serde(default)]
    pub(crate) config: BTreeMap<String, FieldFile>,
    /// Values that follow from others: `{derived.NAME}` in templates.
    #[serde(default)]
    pub(crate) derived: BTreeMap<String, DerivedFile>,
    /// What the platform's app has beside `client_id` and `client_secret`: `{app.NAME}` in templates.
    #[serde(default)]
    pub(crate) app: BTreeMap<String, crate::AppField>,
    /// How webhooks are signed, by name.
    #[serde(default)]
    pub(crate) webhooks: BTreeMap<String, oauth::WebhookFile>,
    /// The ways to authenticate.
    pub(crate) modes: BTreeMap<String, ModeFile>,
}

/// A value that follows from others: from a setting, as an HMAC, or as a claim of a token.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct DerivedFile {
    /// The setting that it is looked up by.
    #[serde(default)]
    pub(crate) from: Option<String>,
    /// The value for each of the setting's values.
    #[serde(default)]
    pub(crate) values: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) hmac: Option<HmacFile>,
    #[serde(default)]
    pub(crate) claim: Option<ClaimFile>,
}

/// HMAC-SHA256 in lower-case hexadecimal. Both are templates.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HmacFile {
    pub(crate) key: String,
    pub(crate) message: String,
}

/// A claim of a JWT; the token is a template.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimFile {
    pub(crate) token: String,
    pub(crate) name: String,
}

/// A way to authenticate.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModeFile {
    /// What people call it.
    pub(crate) title: String,
    /// Its kind.
    pub(crate) kind: super::ModeKind,
    /// Settings that only this mode has.
    #[serde(default)]
    pub(crate) config: BTreeMap<String, FieldFile>,
    /// The secret fields.
    #[serde(default)]
    pub(crate) secret: BTreeMap<String, FieldFile>,
    /// Derived values that only this mode has.
    #[serde(default)]
    pub(crate) derived: BTreeMap<String, DerivedFile>,
    /// Whether fields beyond these are accepted, in the credential and in the config.
    #[serde(default)]
    pub(crate) open: bool,
    /// How a request carries the credential.
    #[serde(default)]
    pub(crate) request: RequestFile,
    /// Which scopes are asked for.
    #[serde(default)]
    pub(crate) scopes: oauth::ScopesFile,
    /// Where the user consents.
    #[serde(default)]
    pub(crate) authorize: Option<oauth::AuthorizeFile>,
    /// Where the user consents to a hand-off of keys. Instead of `authorize`.
    #[serde(default)]
    pub(crate) handoff: Option<oauth::HandOffFile>,
    /// From the code to tokens.
    #[serde(default)]
    pub(crate) exchange: Option<oauth::CallFile>,
    /// From what is stored to a new access token: by refresh token, client credentials, assertion or exchange.
    #[serde(default)]
    pub(crate) renew: Option<oauth::CallFile>,
    /// What `{flow.assertion}` is.
    #[serde(default)]
    pub(crate) assertion: Option<oauth::AssertionFile>,
    /// What else is asked of the provider once there are tokens.
    #[serde(default)]
    pub(crate) after: Option<oauth::AfterFile>,
    /// How answers with tokens are read.
    #[serde(default)]
    pub(crate) answer: oauth::AnswerFile,
    /// What renewing does, and what its errors mean.
    #[serde(default)]
    pub(crate) renewal: oauth::RenewalFile,
    /// How a token is given back.
    #[serde(default)]
    pub(crate) revoke: Option<oauth::RevokeFile>,
    /// How a credential is verified.
    #[serde(default)]
    pub(crate) verify: Option<oauth::VerifyFile>,
}

/// How a request carries the credential. An entry whose placeholders marked with `?` have no value is left out; without a
/// value for any other, a fetch fails.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestFile {
    /// What every URL begins with.
    #[serde(default)]
    pub(crate) base_url: Option<String>,
    /// HTTP basic authentication (RFC 7617).
    #[serde(default)]
    pub(crate) basic: Option<BasicFile>,
    /// Headers by name.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Query parameters by name, not yet percent-encoded.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, String>,
}

/// The two halves of basic authentication.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicFile {
    pub(crate) user: String,
    pub(crate) password: String,
    /// Whether both are form-encoded before they are joined, as RFC 6749, section 2.3.1 wants it of a client. If nothing is
    /// said, they are where a client gets or revokes tokens, and nowhere else. It matters where one of them has other
    /// characters than letters, digits, `*`, `-`, `.` and `_`.
    pub(crate) form_encoded: Option<bool>,
}

/// A field of a config or a credential.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldFile {
    /// What people call it.
    pub(crate) title: String,
    /// Where to find it.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// What it holds.
    #[serde(default, rename = "type")]
    pub(crate) kind: FieldKind,
    /// Whether it must be given.
    #[serde(default)]
    pub(crate) required: bool,
    /// A regular expression for the whole value.
    #[serde(default)]
    pub(crate) pattern: Option<String>,
    /// What the pattern means, as the end of "must be": shown instead of the pattern.
    #[serde(default)]
    pub(crate) expects: Option<String>,
    /// The only values.
    #[serde(default, rename = "enum")]
    pub(crate) values: Vec<String>,
    /// The fewest characters.
    #[serde(default)]
    pub(crate) min_length: Option<usize>,
    /// The most characters.
    #[serde(default)]
    pub(crate) max_length: Option<usize>,
    /// What templates use where the field is not given. Not for secrets.
    #[serde(default)]
    pub(crate) default: Option<Value>,
    /// What its values belong to. Config only.
    #[serde(default)]
    pub(crate) belongs: Option<Belongs>,
    /// For `json`: members that must be non-empty strings.
    #[serde(default)]
    pub(crate) members: Vec<String>,
    /// For `json`: members that must have these values.
    #[serde(default)]
    pub(crate) fixed_members: BTreeMap<String, String>,
    /// For `json`: members that must have one of these values if they are there.
    #[serde(default)]
    pub(crate) enum_members: BTreeMap<String, Vec<String>>,
    /// For `json`: the member that is shown as the hint.
    #[serde(default)]
    pub(crate) hint_member: Option<String>,
    /// Whether a fetch leaves the field out: the vault uses it, nobody else needs it.
    #[serde(default)]
    pub(crate) vault_only: bool,
}

/// Which value another setting must have for each of this one's values, as a country is in a region. A value that is not
/// here may go with any.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Belongs {
    /// The other setting.
    pub(crate) to: String,
    /// Its value for each of this one's. Several of this one's stand in one text with commas.
    pub(crate) values: BTreeMap<String, String>,
}

/// What a field holds.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FieldKind {
    /// One line of printable characters.
    #[default]
    String,
    /// Several lines, such as a key in PEM.
    Text,
    /// A JSON object, as text in a credential.
    Json,
    /// An https URL without user, query or fragment.
    HttpsUrl,
    /// A whole number. Config only.
    Integer,
    /// True or false. Config only.
    Boolean,
}
