//! Whether a delivery is the provider's: the check itself, for every scheme that the catalog can describe. It reads no
//! clock, and keeps no list of deliveries.

use credvault_catalog::{Scheme, Signed, Webhook};
use credvault_crypto::same_secret;
use credvault_domain::Timestamp;

use super::checked::{Checked, UNDATED_WINDOW, replay_key};
use super::claim::Claim;
use super::delivery::Delivery;
use super::error::WebhookError;
use super::keys::{Keys, mac_key, try_each, usable};
use super::{message, timestamp};

/// Checks a delivery. Every secret in `keys` is tried; one that is empty or malformed never is.
///
/// # Errors
/// [`WebhookError`], the first reason found. eBay signs with a public key instead, for which `ebay.rs` is.
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
        // A replay could carry another id if the id is not signed. The tag covers all that is signed: time and body.
        _ => replay_key("tag", &[&tag]),
    };
    // From the first arrival at one edge of the tolerance until the other edge. A time that is not signed proves no age.
    let dated = claim.timestamp.is_some() && webhook.signed.contains(&Signed::Timestamp);
    let replay_window = if dated { webhook.tolerance.saturating_mul(2) } else { UNDATED_WINDOW };
    Ok(Checked { id: claim.id.map(str::to_owned), replay_key, replay_window, shared })
}

fn check_token(webhook: &Webhook, delivery: &Delivery<'_>, keys: &Keys<'_>) -> Result<Checked, WebhookError> {
    let sent = delivery.signature(&webhook.signature)?;
    let sent = sent.strip_prefix(&webhook.prefix).ok_or(WebhookError::SignatureMalformed)?;
    let id = webhook.id.as_deref().map(|name| delivery.header(name)).transpose()?.flatten();
    let ((), shared) = try_each(keys, |secret| {
        let secret = usable(secret)?;
        Ok(same_secret(sent, secret).then_some(()))
    })?;
    // Nothing is signed. A sender that knows the token can send anything, so the id is as good as the rest.
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

/// Finds the tag that a live secret makes over one of the messages that the provider may have signed. Answers with the tag
/// and whether the secret is the app's.
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
