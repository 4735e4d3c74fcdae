//! How a provider signs its webhooks: data for whoever checks them.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_domain::{Config, FieldName};
use serde::Deserialize;
use serde_json::Value;

use crate::call::Method;
use crate::condition::{self, Condition};
use crate::locate::named;
use crate::path::Path;
use crate::public_keys::PublicKeys;

/// What kind of signature it is.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// One HMAC-SHA256 in a header.
    #[default]
    Hmac,
    /// `t=<seconds>,v1=<hexadecimal>[,v1=…]` in one header, over `{timestamp}.{body}`: Stripe.
    Stripe,
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Standard,
    /// ECDSA with a public key that the provider publishes by `kid`: eBay.
    Ebay,
    /// No signature: the header repeats a secret that we chose.
    Token,
}

/// How a signature is written.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal.
    #[default]
    Hex,
    /// Base64, standard alphabet.
    Base64,
    /// Either: the provider does not say which.
    Any,
}

/// How the key's bytes are written in its field.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum KeyEncoding {
    /// The text's own bytes.
    #[default]
    Text,
    /// Base64, after `whsec_` if that is there.
    Base64,
}

/// How a time is written in its header.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum TimestampForm {
    /// Seconds since 1970.
    #[default]
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// RFC 3339.
    Rfc3339,
    /// RFC 3339 or an HTTP date: both were seen.
    Any,
}

/// A part of what is signed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Signed {
    Literal(String),
    Method,
    /// The URL that the provider called.
    Url,
    /// Its path and query.
    Target,
    Body,
    /// The body's SHA-256 in lower-case hexadecimal.
    BodySha256,
    /// The time's text as it was sent.
    Timestamp,
    /// The delivery's id as it was sent.
    Id,
    /// The app's id at the provider.
    ClientId,
}

/// Where a key is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyPlace {
    /// A secret field of the connection.
    Secret(FieldName),
    /// The app's secrets, all that are live.
    AppSecret,
    /// A secret setting of the app.
    App(FieldName),
}

/// One way in which a provider signs webhooks.
#[derive(Debug)]
pub struct Webhook {
    /// What kind of signature it is.
    pub scheme: Scheme,
    /// The header with the signature, in lower case.
    pub signature: String,
    /// What stands before it.
    pub prefix: String,
    /// How it is written.
    pub encoding: Encoding,
    /// What is signed.
    pub signed: Vec<Signed>,
    /// The header with the time, in lower case.
    pub timestamp: Option<String>,
    /// How the time is written.
    pub timestamp_form: TimestampForm,
    /// The most that the time may differ from ours.
    pub tolerance: Duration,
    /// The header with the delivery's id, in lower case.
    pub id: Option<String>,
    /// Where the keys are. Each that is there is tried.
    pub keys: Vec<KeyPlace>,
    /// How their bytes are written.
    pub key_encoding: KeyEncoding,
    /// Where the provider publishes the key, for [`Scheme::Ebay`].
    pub public_keys: Option<PublicKeys>,
    /// Whose account a delivery is about: the ways in which it is named.
    pub accounts: Vec<DeliveryAccount>,
    /// Requests that are no deliveries.
    pub handshakes: Vec<Handshake>,
}

/// What is known of a connection's account.
#[derive(Clone, Copy, Debug)]
pub struct KnownAccount<'a> {
    /// The connection's settings.
    pub settings: &'a Config,
    /// Settings that the provider has confirmed.
    pub confirmed_settings: &'a BTreeMap<String, String>,
    /// The account's id at the provider, as the provider says it.
    pub confirmed_id: Option<&'a str>,
}

/// Whether a delivery names a connection's account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Match {
    /// It names the one that the provider has confirmed, so.
    Confirmed(String),
    /// It names the one in the connection's settings, which nobody has confirmed.
    Claimed,
    /// It does not.
    No,
}

/// One way in which a delivery names the account that it is about.
#[derive(Debug)]
pub struct DeliveryAccount {
    /// Where it stands.
    pub place: AccountPlace,
    /// What stands before it.
    pub prefix: String,
    /// The setting that it must equal, instead of the account's id at the provider.
    pub setting: Option<String>,
}

/// Where an account stands in a delivery.
#[derive(Debug)]
pub enum AccountPlace {
    /// In this header, in lower case. Nothing signs it.
    Header(String),
    /// In the body, which is signed.
    Body(AccountPath),
}

/// A place in a body.
#[derive(Debug)]
pub struct AccountPath(pub(crate) Path);

impl std::fmt::Display for AccountPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl DeliveryAccount {
    /// The accounts that the body names here.
    pub fn in_body(&self, body: &Value) -> Vec<String> {
        let AccountPlace::Body(AccountPath(path)) = &self.place else { return Vec::new() };
        let named = path.every(body).into_iter();
        named.filter_map(|text| text.strip_prefix(self.prefix.as_str()).map(str::to_owned)).collect()
    }

    /// What a delivery must name here to be about this account, if the provider has confirmed that.
    fn confirmed<'a>(&self, account: &KnownAccount<'a>) -> Option<&'a str> {
        match &self.setting {
            Some(setting) => account.confirmed_settings.get(setting).map(String::as_str),
            None => account.confirmed_id,
        }
    }

    /// The same, if only the connection's settings say so, which its owner writes.
    fn claimed<'a>(&self, account: &KnownAccount<'a>) -> Option<&'a str> {
        account.settings.get(self.setting.as_ref()?).and_then(Value::as_str)
    }

    /// Whether one of these names is this account's. `None` if nothing is known of it here.
    pub fn is_among(&self, names: &[String], account: &KnownAccount<'_>) -> Option<Match> {
        let among = |known: &str| names.iter().any(|name| name == known);
        match (self.confirmed(account), self.claimed(account)) {
            (Some(known), _) if among(known) => Some(Match::Confirmed(known.to_owned())),
            (None, Some(claimed)) if among(claimed) => Some(Match::Claimed),
            (None, None) => None,
            _ => Some(Match::No),
        }
    }
}

/// A request by which a provider asks whether an endpoint is there.
#[derive(Debug)]
pub struct Handshake {
    /// The HTTP method. With GET the query is looked at, else the body.
    pub method: Method,
    /// Whether it is signed like a delivery.
    pub signed: bool,
    pub(crate) when: Vec<Condition>,
    pub(crate) token: Option<(Path, KeyPlace)>,
    /// What to answer, as a sentence.
    pub answer: String,
}

impl Handshake {
    /// Whether a request with this body or query is one.
    pub fn is(&self, content: &Value) -> bool {
        self.when.iter().all(|condition| condition::any(std::slice::from_ref(condition), 200, content))
    }

    /// Where the secret is kept that it must repeat, and what it repeats.
    pub fn token(&self, content: &Value) -> Option<(&KeyPlace, Option<String>)> {
        self.token.as_ref().map(|(path, key)| (key, path.text(content)))
    }
}

/// The tolerance where the provider's file names none.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(300);

impl Signed {
    /// Parses `v0:{timestamp}:{body}`.
    pub(crate) fn parse(text: &str) -> Result<Vec<Self>, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("has a { without a }")?;
            if !literal.is_empty() {
                parts.push(Self::Literal(literal.to_owned()));
            }
            parts.push(match name {
                "method" => Self::Method,
                "url" => Self::Url,
                "target" => Self::Target,
                "body" => Self::Body,
                "body_sha256" => Self::BodySha256,
                "timestamp" => Self::Timestamp,
                "id" => Self::Id,
                "app.client_id" => Self::ClientId,
                _ => return Err(format!("has {{{}}}, which is no part of a webhook", named(name))),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Self::Literal(rest.to_owned()));
        }
        Ok(parts)
    }
}
