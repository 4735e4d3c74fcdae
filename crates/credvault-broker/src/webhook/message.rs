//! The bytes that a provider signs, put together from the delivery as it arrived.

use std::borrow::Cow;
use std::fmt::Write as _;

use credvault_catalog::{Signed, Webhook};
use credvault_crypto::sha256;

use super::claim::Claim;
use super::delivery::Delivery;
use super::error::WebhookError;
use super::keys::Keys;

/// A message in parts, so that the body is not copied.
pub(super) type Message<'a> = Vec<Cow<'a, [u8]>>;

/// The messages that may have been signed: one, or two if the URL is a part of the message and can be read in two ways.
///
/// HubSpot is why. Its Node client (`hubspot-api-nodejs`, `src/utils/signature.ts`) takes the URL as it was called, and
/// so do we. Its documentation of v3 decodes some escapes in the URL first, which we try if there are any.
pub(super) fn candidates<'a>(
    webhook: &'a Webhook,
    delivery: &Delivery<'a>,
    keys: &Keys<'a>,
    claim: &Claim<'a>,
) -> Result<Vec<Message<'a>>, WebhookError> {
    let called = Cow::Borrowed(delivery.url);
    let decoded = Cow::Owned(reserved_decoded(delivery.url));
    let twice = webhook.signed.contains(&Signed::Url) && called != decoded;
    let urls = if twice { vec![called, decoded] } else { vec![called] };
    urls.into_iter().map(|url| message(webhook, delivery, keys, claim, url)).collect()
}

fn message<'a>(
    webhook: &'a Webhook,
    delivery: &Delivery<'a>,
    keys: &Keys<'a>,
    claim: &Claim<'a>,
    url: Cow<'a, str>,
) -> Result<Message<'a>, WebhookError> {
    // If the body is not signed, a sender that has seen one signature could send any body.
    if !webhook.signed.iter().any(|part| matches!(part, Signed::Body | Signed::BodySha256)) {
        return Err(WebhookError::DescriptionIncomplete { part: "how the body is signed" });
    }
    let part = |part: &'a Signed| {
        Ok(match part {
            Signed::Literal(text) => borrowed(text),
            Signed::Method => borrowed(delivery.method),
            Signed::Url => bytes(url.clone()),
            Signed::Target => bytes(target(delivery.url).ok_or(WebhookError::UrlMalformed)?),
            Signed::Body => Cow::Borrowed(delivery.body),
            Signed::BodySha256 => bytes(Cow::Owned(hexadecimal(&sha256(&[delivery.body])))),
            Signed::Timestamp => {
                borrowed(claim.timestamp.ok_or_else(|| no_header("the header of the time"))?)
            }
            Signed::Id => borrowed(claim.id.ok_or_else(|| missing_id(webhook))?),
            Signed::ClientId => {
                let id = keys.client_id.filter(|id| !id.is_empty());
                borrowed(id.ok_or(WebhookError::ClientIdMissing)?)
            }
        })
    };
    webhook.signed.iter().map(part).collect()
}

fn borrowed(text: &str) -> Cow<'_, [u8]> {
    Cow::Borrowed(text.as_bytes())
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => borrowed(text),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The catalog file lacks `part`.
fn no_header(part: &'static str) -> WebhookError {
    WebhookError::DescriptionIncomplete { part }
}

fn missing_id(webhook: &Webhook) -> WebhookError {
    match &webhook.id {
        Some(header) => WebhookError::IdMissing { header: header.clone() },
        None => no_header("the header of the id"),
    }
}

/// The path and query of an absolute URL, as they are.
fn target(url: &str) -> Option<Cow<'_, str>> {
    let (_, rest) = url.split_once("://")?;
    let rest = rest.split('#').next()?;
    let start = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(start)?;
    if authority.is_empty() {
        return None;
    }
    let rooted = target.starts_with('/');
    Some(if rooted { Cow::Borrowed(target) } else { Cow::Owned(format!("/{target}")) })
}

/// The URL with the escapes decoded that HubSpot's table for v3 signatures lists, and no others.
fn reserved_decoded(url: &str) -> String {
    let mut decoded = String::with_capacity(url.len());
    let mut rest = url;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let escape = after.split_at_checked(2).and_then(|(code, after)| Some((reserved(code)?, after)));
        let (character, after) = escape.unwrap_or(('%', after));
        decoded.push(character);
        rest = after;
    }
    decoded.push_str(rest);
    decoded
}

fn reserved(code: &str) -> Option<char> {
    let character = char::from(u8::from_str_radix(code, 16).ok()?);
    ":/?@!$'()*,;".contains(character).then_some(character)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
