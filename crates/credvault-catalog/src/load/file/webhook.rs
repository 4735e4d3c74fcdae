//! The shape of webhooks in a provider file.

use serde::Deserialize;

use super::call::{CallFile, ConditionFile, PathFile};
use crate::call::Method;
use crate::webhook::keys::KeyEncoding;
use crate::webhook::{Encoding, Scheme, TimestampForm};

/// How webhooks of the provider are signed.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookFile {
    /// How deliveries are signed.
    #[serde(default)]
    pub(crate) scheme: Scheme,
    /// The header with the signature.
    #[serde(default)]
    pub(crate) signature_header: Option<String>,
    /// The text before the signature in its header.
    #[serde(default)]
    pub(crate) signature_prefix: String,
    /// How the signature is written.
    #[serde(default)]
    pub(crate) signature_encoding: Encoding,
    /// The content that the signature covers: a text with `{method}`, `{url}`, `{target}` (path and query), `{body}`,
    /// `{body_sha256}` (lower-case hexadecimal), `{timestamp}` and `{id}` as they were sent, and `{app.client_id}`.
    #[serde(default)]
    pub(crate) signed_content: Option<String>,
    /// The header with the time.
    #[serde(default)]
    pub(crate) timestamp_header: Option<String>,
    /// How the time is written.
    #[serde(default)]
    pub(crate) timestamp_format: TimestampForm,
    /// The most that the time may differ from the vault's clock.
    #[serde(default)]
    pub(crate) tolerance_seconds: Option<u64>,
    /// The header with the delivery's id, by which a second arrival is noticed.
    #[serde(default)]
    pub(crate) delivery_id_header: Option<String>,
    /// Where the keys are: `secret.X`, `app.client_secret`, or `app.X` if `[app.X]` is secret. Each that is there is
    /// tried.
    #[serde(default)]
    pub(crate) keys: Vec<String>,
    /// How the keys' bytes are written.
    #[serde(default)]
    pub(crate) key_encoding: KeyEncoding,
    /// Where the provider publishes its keys, for the scheme `ebay`.
    #[serde(default)]
    pub(crate) public_keys: Option<PublicKeysFile>,
    /// The ways in which a delivery names the account that it is about. A delivery that is signed with a key of the app
    /// is valid only at a connection with such an account. Without any, the app must serve one account only: its
    /// deliveries are then valid at every connection, once each, and `account_matched` is false.
    #[serde(default)]
    pub(crate) accounts: Vec<DeliveryAccountFile>,
    /// Requests that are no deliveries: with them the provider tests the endpoint.
    #[serde(default)]
    pub(crate) handshakes: Vec<HandshakeFile>,
}

/// Where a delivery has its account: in a header, which no signature covers, or in the body.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveryAccountFile {
    /// The header with the account.
    #[serde(default)]
    pub(crate) header: Option<String>,
    /// The path of the account in the body, which is JSON or a form. A list on the way stands for each of its elements.
    /// A form's value that is JSON is read as JSON.
    #[serde(default)]
    pub(crate) path: Option<PathFile>,
    /// The text before the account.
    #[serde(default)]
    pub(crate) prefix: String,
    /// The setting that the account must equal. Without one it must equal the account's id at the provider.
    #[serde(default)]
    pub(crate) setting: Option<String>,
}

/// A request by which the provider tests the endpoint.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandshakeFile {
    /// The HTTP method, POST unless given. The conditions are about the query of a GET, and about the body otherwise.
    #[serde(default)]
    pub(crate) method: Option<Method>,
    /// Whether the request is signed like a delivery.
    #[serde(default)]
    pub(crate) signed: bool,
    /// Conditions of which all must hold.
    pub(crate) when: Vec<ConditionFile>,
    /// The secret that the request repeats, if it repeats one.
    #[serde(default)]
    pub(crate) token: Option<HandshakeTokenFile>,
    /// How the receiver must answer, as a sentence.
    pub(crate) instructions: String,
}

/// A secret that a handshake repeats.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandshakeTokenFile {
    /// The path of the secret in the body or query.
    pub(crate) path: PathFile,
    /// Where the vault has the secret, like a key of deliveries.
    pub(crate) key: String,
}

/// The calls that fetch a public key. They may use settings of the whole provider only.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublicKeysFile {
    /// The call that gives an access token of the app, as `access_token` and `expires_in`.
    pub(crate) token: CallFile,
    /// The call that gives the key `{flow.key_id}` as the member `key`, PEM. The access token is `{flow.token}`.
    pub(crate) key: CallFile,
}
