//! How a provider signs its webhooks, as data. The broker checks signatures; nothing is checked here.

pub(crate) mod account;
pub(crate) mod handshake;
pub(crate) mod keys;
pub(crate) mod signed;

use std::time::Duration;

use serde::Deserialize;

use crate::public_keys::PublicKeys;
use crate::webhook::account::DeliveryAccount;
use crate::webhook::handshake::Handshake;
use crate::webhook::keys::{KeyEncoding, KeyPlace};
use crate::webhook::signed::Signed;

/// The tolerance of times, unless the provider's file has another.
pub(crate) const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

/// One way in which a provider signs webhooks.
#[derive(Debug)]
pub struct Webhook {
    /// How deliveries are signed.
    pub scheme: Scheme,
    /// The header with the signature, in lower case.
    pub signature: String,
    /// The text before the signature in its header.
    pub prefix: String,
    /// How the signature is written.
    pub encoding: Encoding,
    /// The content that the signature covers.
    pub signed: Vec<Signed>,
    /// The header with the time, in lower case.
    pub timestamp: Option<String>,
    /// How the time is written.
    pub timestamp_form: TimestampForm,
    /// The most that the time may differ from the vault's clock.
    pub tolerance: Duration,
    /// The header with the delivery's id, in lower case.
    pub id: Option<String>,
    /// Where the keys are. Each key that is there is tried.
    pub keys: Vec<KeyPlace>,
    /// How the keys' bytes are written.
    pub key_encoding: KeyEncoding,
    /// Where the provider publishes its keys, for [`Scheme::Ebay`].
    pub public_keys: Option<PublicKeys>,
    /// The ways in which a delivery names the account that it is about.
    pub accounts: Vec<DeliveryAccount>,
    /// Requests that are no deliveries.
    pub handshakes: Vec<Handshake>,
}

/// How deliveries are signed.
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
    /// No signature: the header repeats a secret that the receiver chose.
    Token,
}

/// How a signature is written.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal, in either case.
    #[default]
    Hex,
    /// Base64 with the standard alphabet.
    Base64,
    /// Either of the two, because the provider does not say which.
    Any,
}

/// How a time is written in its header.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum TimestampForm {
    /// Seconds since 1970 (UTC).
    #[default]
    Seconds,
    /// Milliseconds since 1970 (UTC).
    Milliseconds,
    /// An instant as RFC 3339 writes it.
    Rfc3339,
    /// RFC 3339 or an HTTP date, because the provider sends both.
    Any,
}
