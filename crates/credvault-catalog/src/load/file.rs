//! The shape of a provider file, before its parts are checked against each other. Every key that is not in these
//! structs is an error. `docs/provider-files.md` explains each key to the author of a file; a test keeps that page
//! complete.

pub(crate) mod call;
pub(crate) mod field;
pub(crate) mod rotation;
pub(crate) mod tokens;
pub(crate) mod webhook;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::mode::{Doubts, ModeKind};
use crate::provider::{AppField, RateLimit};

use call::{BasicFile, RevokeFile, TestFile};
use field::{DerivedFile, FieldFile};
use rotation::RotationFile;
use tokens::{AuthorizeFile, DeliveryFile, PostExchangeFile, RefreshFile, ScopesFile, TokenResponseFile};
use webhook::WebhookFile;

/// A whole provider file.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderFile {
    /// The provider's id. The file's name is `{id}.toml`.
    pub(crate) id: String,
    /// The provider's own name.
    pub(crate) display_name: String,
    /// The URL of the provider's API documentation.
    #[serde(default)]
    pub(crate) documentation_url: Option<String>,
    /// Facts that the file assumes and that are not confirmed, in sentences. An empty list says that there is none.
    #[serde(default)]
    pub(crate) unconfirmed: Option<Vec<String>>,
    /// How many calls the provider accepts.
    #[serde(default)]
    pub(crate) rate_limit: Option<RateLimit>,
    /// Settings of every mode, `{config.NAME}` in templates.
    #[serde(default)]
    pub(crate) config: BTreeMap<String, FieldFile>,
    /// Derived values of every mode, `{derived.NAME}` in templates.
    #[serde(default)]
    pub(crate) derived: BTreeMap<String, DerivedFile>,
    /// Values of the platform's app except `client_id` and `client_secret`, `{app.NAME}` in templates.
    #[serde(default)]
    pub(crate) app: BTreeMap<String, AppField>,
    /// The setting, of connections and of apps, that tells servers apart, if the file stands for many: each has an app of
    /// its own.
    #[serde(default)]
    pub(crate) app_per: Option<String>,
    /// How webhooks are signed, by the name of the way.
    #[serde(default)]
    pub(crate) webhooks: BTreeMap<String, WebhookFile>,
    /// The ways to authenticate, by name.
    pub(crate) modes: BTreeMap<String, ModeFile>,
}

/// A way to authenticate.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModeFile {
    /// The mode's name for people.
    pub(crate) display_name: String,
    /// The kind of credential.
    pub(crate) kind: ModeKind,
    /// Settings of this mode only.
    #[serde(default)]
    pub(crate) config: BTreeMap<String, FieldFile>,
    /// Secret fields, `{secret.NAME}` in templates.
    #[serde(default)]
    pub(crate) secret: BTreeMap<String, FieldFile>,
    /// Derived values of this mode only.
    #[serde(default)]
    pub(crate) derived: BTreeMap<String, DerivedFile>,
    /// Whether config and credential accept fields that the file does not name.
    #[serde(default)]
    pub(crate) additional_fields: bool,
    /// What callers add to their own requests.
    #[serde(default)]
    pub(crate) request: RequestFile,
    /// The scopes that are asked for.
    #[serde(default)]
    pub(crate) scopes: Option<ScopesFile>,
    /// Where the provider's endpoints are found, if the file does not name them.
    #[serde(default)]
    pub(crate) discovery: Option<tokens::DiscoveryFile>,
    /// Consent in a browser, with a callback that brings a code.
    #[serde(default)]
    pub(crate) authorize: Option<AuthorizeFile>,
    /// Consent in a browser, after which the provider posts the credential to the vault.
    #[serde(default)]
    pub(crate) delivery: Option<DeliveryFile>,
    /// The call that gives tokens for a code.
    #[serde(default)]
    pub(crate) exchange: Option<call::CallFile>,
    /// The call right after the exchange.
    #[serde(default)]
    pub(crate) post_exchange: Option<PostExchangeFile>,
    /// How a new access token is got from what is stored.
    #[serde(default)]
    pub(crate) refresh: Option<RefreshFile>,
    /// The signed assertion by which calls prove who the client is, sent as `{flow.client_assertion}`.
    #[serde(default)]
    pub(crate) client_assertion: Option<tokens::AssertionFile>,
    /// How the answers to an exchange and a refresh are read.
    #[serde(default)]
    pub(crate) token_response: Option<TokenResponseFile>,
    /// How a token is revoked.
    #[serde(default)]
    pub(crate) revoke: Option<RevokeFile>,
    /// How a credential is tested.
    #[serde(default)]
    pub(crate) test: Option<TestFile>,
    /// How and how often the credential itself is replaced.
    #[serde(default)]
    pub(crate) rotation: Option<RotationFile>,
    /// How long the credential or the consent lasts, as the end of a sentence.
    #[serde(default)]
    pub(crate) lasts: Option<String>,
    /// Why there is no call that revokes a token, in sentences.
    #[serde(default)]
    pub(crate) no_revocation: Option<String>,
    /// Why there is no call that tests a credential, in sentences.
    #[serde(default)]
    pub(crate) no_test: Option<String>,
    /// Why no caller chooses scopes, in sentences.
    #[serde(default)]
    pub(crate) no_scopes: Option<String>,
    /// What is not confirmed about the life of the credential.
    #[serde(default)]
    pub(crate) unconfirmed: Doubts,
}

/// What callers add to their own requests. An entry is left out if an optional placeholder in it has no value; a fetch
/// says so if any other placeholder has none.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestFile {
    /// The beginning of every URL.
    #[serde(default)]
    pub(crate) base_url: Option<String>,
    /// HTTP basic authentication (RFC 7617).
    #[serde(default)]
    pub(crate) basic: Option<BasicFile>,
    /// The headers, by name.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Query parameters by name, not yet percent-encoded.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, String>,
}
