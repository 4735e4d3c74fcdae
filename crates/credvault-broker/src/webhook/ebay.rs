//! eBay's notifications: ECDSA with a key that the delivery names and eBay publishes. The signature proves that eBay sent
//! the body, but not for which seller: the body names the seller.

use base64::Engine as _;
use credvault_crypto::{EcdsaDigest, P256Key};
use serde_json::Value;

use super::checked::{Checked, UNDATED_WINDOW, replay_key};
use super::claim::BASE64;
use super::delivery::Delivery;
use super::error::WebhookError;

/// The header with the signature.
const HEADER: &str = "x-ebay-signature";

/// The longest key id that is accepted. eBay's are UUIDs.
const MAX_KEY_ID_CHARS: usize = 128;

/// The id of the public key that the delivery claims to be signed with. Nothing vouches for it yet, and it becomes a part of
/// a URL, so it may contain letters, digits, `-` and `_` only.
///
/// # Errors
/// The header is missing, repeated or not of eBay's form.
pub(super) fn ebay_key_id(delivery: &Delivery<'_>) -> Result<String, WebhookError> {
    parse(delivery).map(|signature| signature.key_id)
}

/// Checks a delivery of eBay's with the public key of [`ebay_key_id`], over the raw body.
///
/// # Errors
/// [`WebhookError`], the first reason found.
pub(super) fn check_ebay(delivery: &Delivery<'_>, public_key: &P256Key) -> Result<Checked, WebhookError> {
    let signature = parse(delivery)?;
    public_key
        .verify(signature.digest, delivery.body, &signature.der)
        .map_err(|_| WebhookError::SignatureWrong)?;
    // Not the signature: anyone can make (r, -s) from (r, s), which verifies, too. Each notification's body has its own id.
    let replay_key = replay_key("ebay", &[delivery.body]);
    Ok(Checked { id: None, replay_key, replay_window: UNDATED_WINDOW, shared: true })
}

struct EbaySignature {
    key_id: String,
    digest: EcdsaDigest,
    der: Vec<u8>,
}

/// The header: base64 of JSON with `alg`, `kid`, `signature` (base64 of DER) and `digest`.
fn parse(delivery: &Delivery<'_>) -> Result<EbaySignature, WebhookError> {
    let malformed = || WebhookError::SignatureMalformed;
    let json = BASE64.decode(delivery.signature(HEADER)?).map_err(|_| malformed())?;
    let json: Value = serde_json::from_slice(&json).map_err(|_| malformed())?;
    let text = |name: &str| json.get(name).and_then(Value::as_str).ok_or_else(malformed);
    let der = BASE64.decode(text("signature")?).map_err(|_| malformed())?;
    let digest = match text("digest")?.to_ascii_uppercase().as_str() {
        "SHA1" | "SHA-1" => EcdsaDigest::Sha1,
        "SHA256" | "SHA-256" => EcdsaDigest::Sha256,
        _ => return Err(WebhookError::AlgorithmUnsupported),
    };
    if !text("alg")?.eq_ignore_ascii_case("ecdsa") {
        return Err(WebhookError::AlgorithmUnsupported);
    }
    let key_id = text("kid")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !(1..=MAX_KEY_ID_CHARS).contains(&key_id.len()) || !key_id.bytes().all(plain) {
        return Err(malformed());
    }
    Ok(EbaySignature { key_id: key_id.to_owned(), digest, der })
}
