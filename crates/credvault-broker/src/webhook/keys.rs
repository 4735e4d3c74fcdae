//! The secrets that deliveries are checked with, and how each of them is tried.

use base64::Engine as _;
use credvault_catalog::KeyEncoding;
use credvault_crypto::{MacKey, Opened};
use secrecy::{ExposeSecret as _, SecretString};

use super::claim::BASE64;
use super::error::WebhookError;

/// The secrets that deliveries are checked with.
#[derive(Clone)]
pub struct Keys<'a> {
    /// Every secret that is live: the current one, and the previous one while secrets are exchanged.
    pub secrets: Vec<Key<'a>>,
    /// The app's id at the provider.
    pub client_id: Option<&'a str>,
}

/// A secret that deliveries are checked with.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// The secret as it is stored.
    pub secret: &'a SecretString,
    /// Whether it is the app's, and so signs for every account that has consented to the app.
    pub is_apps: bool,
}

/// Tries every secret, and answers with the result of the first that fits and with whether it is the app's. A malformed
/// secret does not keep the others from being tried; the error names it if none of them fits.
pub(super) fn try_each<T>(
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

/// The key that a secret stands for.
pub(super) fn mac_key(encoding: KeyEncoding, secret: &SecretString) -> Result<MacKey, WebhookError> {
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
        KeyEncoding::Hex => MacKey::new(&hexadecimal(text)?),
    };
    key.ok_or(WebhookError::KeyMalformed)
}

/// The bytes of a key that is written in hexadecimal.
fn hexadecimal(text: &str) -> Result<Opened, WebhookError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = text.trim().as_bytes().as_chunks::<2>();
    let mut bytes = Opened::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        let (high, low) = digit(*high).zip(digit(*low)).ok_or(WebhookError::KeyMalformed)?;
        bytes.push(high << 4 | low);
    }
    if rest.is_empty() { Ok(bytes) } else { Err(WebhookError::KeyMalformed) }
}

/// A secret's text, which must not be empty. Blanks are what remains of a secret that was never pasted.
pub(super) fn usable(secret: &SecretString) -> Result<&str, WebhookError> {
    let text = secret.expose_secret();
    if text.trim().is_empty() { Err(WebhookError::KeyMalformed) } else { Ok(text) }
}
