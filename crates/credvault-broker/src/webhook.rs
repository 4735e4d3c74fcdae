//! Whether an incoming webhook is the provider's: a pure check over the raw bytes that arrived, for every scheme that
//! the catalog can describe. It reads no clock, keeps no list of what it has seen, and parses the body only for the account
//! that it names.
//!
//! What a caller may trust after [`check`] is what was signed, and nothing else. So [`Checked::replay_key`] is made of
//! signed bytes only, in their decoded form: another spelling of the same signature has the same key.

use std::time::Duration;

use base64::Engine as _;
use credvault_catalog::{KeyEncoding, Scheme, Signed, Webhook};
use credvault_crypto::{MacKey, Opened, same_secret, sha256};
use credvault_domain::Timestamp;
use secrecy::{ExposeSecret, SecretString};

mod account;

mod claim;

mod handshake;

mod message;

mod timestamp;

mod ebay;

pub use account::{Named, named};
pub use ebay::{check_ebay, ebay_key_id};
pub use handshake::handshake;

use claim::{BASE64, Claim};

/// A request as it arrived.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The HTTP method, in capitals.
    pub method: &'a str,
    /// The external URL that the provider called, absolute: behind a proxy, the one that the proxy was asked for.
    pub url: &'a str,
    /// Every header, repeated ones each time. Names in any case; values without the white space around them.
    pub headers: &'a [(String, String)],
    /// The body's bytes, untouched.
    pub body: &'a [u8],
}

/// What deliveries are checked with.
#[derive(Clone)]
pub struct Keys<'a> {
    /// Every secret that is live: the current one, and while they are exchanged the previous one.
    pub secrets: Vec<Key<'a>>,
    /// The app's id at the provider.
    pub client_id: Option<&'a str>,
}

/// A secret that deliveries are checked with.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// The secret.
    pub secret: &'a SecretString,
    /// Whether it is the app's, and so signs for every account that has consented to the app.
    pub is_apps: bool,
}

/// A delivery that is the provider's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The delivery's own id, if there is one. Many providers do not sign it: then it tells repetitions from news,
    /// and is no defence.
    pub id: Option<String>,
    /// What makes the delivery unique, under the connection or app whose keys were used: a second one with the same
    /// key within [`Checked::replay_window`] is a replay or the provider's own repetition.
    pub replay_key: [u8; 32],
    /// How long the key has to be remembered.
    pub replay_window: Duration,
    /// Whether the key was the app's or the provider's own. Such a delivery is for the connection only if it names its
    /// account.
    pub shared: bool,
}

/// Why a delivery is not accepted. No message shows a value that was sent or stored.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what they are")]
pub enum WebhookError {
    #[error("the header {header} is missing: the provider signs with it, so send the request as it came")]
    SignatureMissing { header: String },
    #[error("the signature has not the form that the provider documents: pass the header on as it came")]
    SignatureMalformed,
    #[error(
        "no live secret made this signature: pass on the raw body and URL, or store the provider's secret"
    )]
    SignatureWrong,
    #[error(
        "the header {header} came more than once with different values: pass on only what the provider sent"
    )]
    HeaderRepeated { header: String },
    #[error("there is no time in {header}: the provider signs with one, so send the request as it came")]
    TimestampMissing { header: String },
    #[error("the time has not the form that the provider documents: pass the header on as it came")]
    TimestampMalformed,
    #[error("the time is more than {} s from ours: pass deliveries on at once, and set the clock", .tolerance.as_secs())]
    TimestampOutside { tolerance: Duration },
    #[error(
        "the header {header} is missing: the provider signs the id in it, so send the request as it came"
    )]
    IdMissing { header: String },
    #[error("the URL must be absolute: pass on the external one that the provider called")]
    UrlMalformed,
    #[error("the app's id is signed too and is not known: store the app's client_id")]
    ClientIdMissing,
    #[error("no secret is stored for this webhook: store the one that the provider shows")]
    KeyMissing,
    #[error(
        "a secret stored for this webhook is empty or not in its form: store it as the provider shows it"
    )]
    KeyMalformed,
    #[error(
        "this provider signs with its own key: fetch the public key that the delivery names and check with it"
    )]
    PublicKeyNeeded,
    #[error(
        "the signature's algorithm is none of ECDSA with SHA-1 or SHA-256: update the provider's description"
    )]
    AlgorithmUnsupported,
    #[error("the provider publishes no key with the id that the delivery names")]
    KeyUnknown,
    #[error("no app is stored at this provider, and its public key is given to apps only: store the app")]
    AppMissing,
    #[error("the provider's description does not say {part}: correct its file")]
    DescriptionIncomplete { part: &'static str },
}

/// How long a delivery without a signed time is remembered. Nothing in it gets old, so this is only a bound on what is
/// kept: it exceeds the hours over which providers repeat a delivery.
const UNDATED_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks a delivery. Every secret in `keys` is tried; one that is empty or malformed never is.
///
/// # Errors
/// [`WebhookError`], the first reason found. For eBay see [`check_ebay`].
pub fn check(
    webhook: &Webhook,
    delivery: &Delivery<'_>,
    keys: &Keys<'_>,
    now: Timestamp,
) -> Result<Checked, WebhookError> {
    let claim = match webhook.scheme {
        Scheme::Hmac => Claim::single(webhook, delivery)?,
        Scheme::Stripe => Claim::stripe(webhook, delivery)?,
        Scheme::Standard => Claim::standard(webhook, delivery)?,
        Scheme::Token => return check_token(webhook, delivery, keys),
        Scheme::Ebay => return Err(WebhookError::PublicKeyNeeded),
    };
    check_time(webhook, &claim, now)?;
    let (tag, shared) = authenticate(webhook, delivery, keys, &claim)?;
    let replay_key = match claim.id {
        Some(id) if webhook.signed.contains(&Signed::Id) => replay_key("id", &[id.as_bytes()]),
        // Of an id that is not signed, a replay would carry another. The tag says all that is signed: time and body.
        _ => replay_key("tag", &[&tag]),
    };
    // From the first arrival at one edge of the tolerance until the other edge. A time that is not signed dates nothing.
    let dated = claim.timestamp.is_some() && webhook.signed.contains(&Signed::Timestamp);
    let replay_window = if dated { webhook.tolerance.saturating_mul(2) } else { UNDATED_WINDOW };
    Ok(Checked { id: claim.id.map(str::to_owned), replay_key, replay_window, shared })
}

impl<'a> Delivery<'a> {
    /// A header's value. Which of two different values a signer meant nobody can say, so there must be one.
    fn header(&self, name: &str) -> Result<Option<&'a str>, WebhookError> {
        let mut values =
            self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let Some(first) = values.next() else { return Ok(None) };
        match values.all(|value| value == first) {
            true => Ok(Some(first)),
            false => Err(WebhookError::HeaderRepeated { header: name.to_owned() }),
        }
    }

    fn signature(&self, name: &str) -> Result<&'a str, WebhookError> {
        self.header(name)?.ok_or_else(|| WebhookError::SignatureMissing { header: name.to_owned() })
    }
}

fn check_token(webhook: &Webhook, delivery: &Delivery<'_>, keys: &Keys<'_>) -> Result<Checked, WebhookError> {
    let sent = delivery.signature(&webhook.signature)?;
    let sent = sent.strip_prefix(&webhook.prefix).ok_or(WebhookError::SignatureMalformed)?;
    let id = webhook.id.as_deref().map(|name| delivery.header(name)).transpose()?.flatten();
    let ((), shared) = try_each(keys, |secret| {
        let secret = usable(secret)?;
        Ok(same_secret(sent, secret).then_some(()))
    })?;
    // Nothing is signed. Whoever knows the token can send anything, so the id is as good as the rest.
    let replay_key = replay_key("token", &[id.unwrap_or_default().as_bytes(), delivery.body]);
    Ok(Checked { id: id.map(str::to_owned), replay_key, replay_window: UNDATED_WINDOW, shared })
}

fn check_time(webhook: &Webhook, claim: &Claim<'_>, now: Timestamp) -> Result<(), WebhookError> {
    let Some(text) = claim.timestamp else { return Ok(()) };
    let time = timestamp::parse(text, webhook.timestamp_form).ok_or(WebhookError::TimestampMalformed)?;
    let tolerance = webhook.tolerance;
    let distance = time.until(now).max(now.until(time));
    if distance > tolerance { Err(WebhookError::TimestampOutside { tolerance }) } else { Ok(()) }
}

/// The tag that a live secret made over one of the messages that the provider may have signed, and whether the secret is
/// the app's.
fn authenticate(
    webhook: &Webhook,
    delivery: &Delivery<'_>,
    keys: &Keys<'_>,
    claim: &Claim<'_>,
) -> Result<([u8; 32], bool), WebhookError> {
    let messages = message::candidates(webhook, delivery, keys, claim)?;
    try_each(keys, |secret| {
        let key = mac_key(webhook.key_encoding, secret)?;
        Ok(messages.iter().find_map(|message| key.matching(message, &claim.tags)))
    })
}

/// Tries every secret: what the first that fits gave, and whether it is the app's. A broken one does not keep the others from being tried, and is named if none of them fits.
fn try_each<T>(
    keys: &Keys<'_>,
    attempt: impl Fn(&SecretString) -> Result<Option<T>, WebhookError>,
) -> Result<(T, bool), WebhookError> {
    if keys.secrets.is_empty() {
        return Err(WebhookError::KeyMissing);
    }
    let mut reason = WebhookError::SignatureWrong;
    for Key { secret, is_apps } in &keys.secrets {
        match attempt(secret) {
            Ok(Some(found)) => return Ok((found, *is_apps)),
            Ok(None) => {}
            Err(broken) => reason = broken,
        }
    }
    Err(reason)
}

fn mac_key(encoding: KeyEncoding, secret: &SecretString) -> Result<MacKey, WebhookError> {
    let text = usable(secret)?;
    let key = match encoding {
        KeyEncoding::Text => MacKey::new(text.as_bytes()),
        KeyEncoding::Base64 => {
            let text = text.strip_prefix("whsec_").unwrap_or(text);
            // Large enough from the start: a vector that grows would leave a copy of the key behind.
            let mut bytes = Opened::new(Vec::with_capacity(text.len()));
            BASE64.decode_vec(text, &mut bytes).map_err(|_| WebhookError::KeyMalformed)?;
            MacKey::new(&bytes)
        }
    };
    key.ok_or(WebhookError::KeyMalformed)
}

/// A secret that is not empty. Blanks are what is left of a secret that was never pasted.
fn usable(secret: &SecretString) -> Result<&str, WebhookError> {
    let text = secret.expose_secret();
    if text.trim().is_empty() { Err(WebhookError::KeyMalformed) } else { Ok(text) }
}

impl Checked {
    /// What makes the delivery unique under a shared key, for the account that it names in its signed part: one delivery may
    /// be about several accounts, and count once for each. An account that is not signed could be another each time.
    pub fn shared_replay_key(&self, account: Option<&str>) -> [u8; 32] {
        match account {
            Some(account) => replay_key("account", &[&self.replay_key, account.as_bytes()]),
            None => self.replay_key,
        }
    }
}

/// SHA-256 over the hashes of a label and of each part, so that no byte can move from one part to the next.
fn replay_key(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut framed = vec![sha256(&["credvault webhook replay 1 ", label])];
    framed.extend(parts.iter().map(|part| sha256(&[part])));
    sha256(&framed)
}

#[cfg(test)]
mod tests;
