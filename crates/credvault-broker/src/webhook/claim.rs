//! What a delivery's headers claim: tags, time and id, decoded and not verified yet.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use credvault_catalog::{Encoding, Webhook};

use super::delivery::Delivery;
use super::error::WebhookError;

/// Base64 with the standard alphabet, with or without padding.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the headers claim.
pub(super) struct Claim<'a> {
    /// The signatures that were sent: one of them has to be right.
    pub(super) tags: Vec<[u8; 32]>,
    pub(super) timestamp: Option<&'a str>,
    pub(super) id: Option<&'a str>,
}

impl<'a> Claim<'a> {
    /// Reads a single signature from its header, after a prefix.
    pub(super) fn single(webhook: &Webhook, delivery: &Delivery<'a>) -> Result<Self, WebhookError> {
        let text = delivery.signature(&webhook.signature)?;
        let tag = text.strip_prefix(&webhook.prefix).and_then(|text| tag(webhook.encoding, text));
        let tags = vec![tag.ok_or(WebhookError::SignatureMalformed)?];
        Ok(Self { tags, timestamp: time(webhook, delivery)?, id: id(webhook, delivery)? })
    }

    /// `t=<seconds>,v1=<hexadecimal>[,v1=…]`. Other names are of other versions, such as the test mode's `v0`.
    pub(super) fn stripe(webhook: &Webhook, delivery: &Delivery<'a>) -> Result<Self, WebhookError> {
        let mut claim = Self { tags: Vec::new(), timestamp: None, id: id(webhook, delivery)? };
        for item in delivery.signature(&webhook.signature)?.split(',') {
            match item.trim().split_once('=') {
                Some(("t", _)) if claim.timestamp.is_some() => return Err(WebhookError::SignatureMalformed),
                Some(("t", text)) => claim.timestamp = Some(text),
                Some(("v1", text)) => claim.tags.extend(tag(Encoding::Hex, text)),
                _ => {}
            }
        }
        if claim.timestamp.is_none() {
            return Err(WebhookError::TimestampMissing { header: webhook.signature.clone() });
        }
        claim.with_tags()
    }

    /// Standard Webhooks: `v1,<base64>` with blanks between. Other versions, such as `v1a`, are not for shared secrets.
    pub(super) fn standard(webhook: &Webhook, delivery: &Delivery<'a>) -> Result<Self, WebhookError> {
        let list = delivery.signature(&webhook.signature)?.split(' ');
        let versions = list.filter_map(|item| item.split_once(','));
        let tags = versions.filter(|(version, _)| *version == "v1");
        let tags = tags.filter_map(|(_, text)| tag(Encoding::Base64, text)).collect();
        Self { tags, timestamp: time(webhook, delivery)?, id: id(webhook, delivery)? }.with_tags()
    }

    fn with_tags(self) -> Result<Self, WebhookError> {
        if self.tags.is_empty() { Err(WebhookError::SignatureMalformed) } else { Ok(self) }
    }
}

fn time<'a>(webhook: &Webhook, delivery: &Delivery<'a>) -> Result<Option<&'a str>, WebhookError> {
    let Some(name) = &webhook.timestamp else { return Ok(None) };
    let missing = || WebhookError::TimestampMissing { header: name.clone() };
    delivery.header(name)?.ok_or_else(missing).map(Some)
}

/// The id; an empty id counts as none. `message.rs` refuses a delivery that lacks a signed id.
fn id<'a>(webhook: &Webhook, delivery: &Delivery<'a>) -> Result<Option<&'a str>, WebhookError> {
    let Some(name) = &webhook.id else { return Ok(None) };
    Ok(delivery.header(name)?.filter(|id| !id.is_empty()))
}

/// The 32 bytes that `text` writes: 64 hexadecimal digits, or 43 characters of base64.
fn tag(encoding: Encoding, text: &str) -> Option<[u8; 32]> {
    match encoding {
        Encoding::Hex => hexadecimal(text),
        Encoding::Base64 => BASE64.decode(text).ok()?.try_into().ok(),
        // No text is both: their lengths differ.
        Encoding::Any => tag(Encoding::Hex, text).or_else(|| tag(Encoding::Base64, text)),
    }
}

fn hexadecimal(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let digits: Option<Vec<u8>> = text.bytes().map(digit).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    if rest.is_empty() { bytes.try_into().ok() } else { None }
}
