//! How webhooks are signed, in words.

use std::fmt::Write as _;

use super::calls::call;
use super::words::{code, list, span};
use crate::webhook::account::{AccountPlace, DeliveryAccount};
use crate::webhook::keys::{KeyEncoding, KeyPlace};
use crate::webhook::signed::Signed;
use crate::webhook::{Encoding, Scheme, TimestampForm, Webhook};

/// Appends how one kind of webhook is signed. Writing to a text cannot fail.
pub(super) fn section(text: &mut String, name: &str, webhook: &Webhook) {
    let _ = write!(text, "\n### Webhooks: `{name}`\n\n");
    signature(text, webhook);
    time(text, webhook);
    if let Some(id) = &webhook.id {
        let _ = writeln!(text, "- Delivery's id: {}.", code(id));
    }
    if !webhook.accounts.is_empty() {
        let accounts = list(webhook.accounts.iter().map(account), "or");
        let _ = writeln!(text, "- Account, where the key is the app's: {accounts}.");
    }
    for handshake in &webhook.handshakes {
        let signed = if handshake.signed { "signed" } else { "unsigned" };
        let _ = writeln!(text, "- Handshake, {signed}: {}", handshake.instructions);
    }
    if let Some(keys) = &webhook.public_keys {
        let _ = writeln!(text, "- Key: {}, with an access token of the app.", call(&keys.key));
    }
    if !webhook.keys.is_empty() {
        let keys = list(webhook.keys.iter().map(|key| code(&key_place(key))), "or");
        let form = if webhook.key_encoding == KeyEncoding::Base64 { ", base64 after `whsec_`" } else { "" };
        let _ = writeln!(text, "- Key: {keys}{form}.");
    }
}

fn signature(text: &mut String, webhook: &Webhook) {
    let encoding = match webhook.encoding {
        Encoding::Hex => "hexadecimal",
        Encoding::Base64 => "base64",
        Encoding::Any => "hexadecimal or base64",
    };
    let scheme = match webhook.scheme {
        Scheme::Hmac => format!("HMAC-SHA256, {encoding}"),
        Scheme::Stripe => "HMAC-SHA256, hexadecimal, as `t=…,v1=…`".to_owned(),
        Scheme::Standard => "Standard Webhooks: HMAC-SHA256, base64, as `v1,…`".to_owned(),
        Scheme::Ebay => "ECDSA with the provider's public key, which the header names".to_owned(),
        Scheme::Token => "no signature; the header repeats a secret".to_owned(),
    };
    let prefix =
        if webhook.prefix.is_empty() { String::new() } else { format!(", after {}", code(&webhook.prefix)) };
    let _ = writeln!(text, "- Header: {}{prefix}.", code(&webhook.signature));
    let _ = writeln!(text, "- Algorithm: {scheme}.");
    if webhook.scheme != Scheme::Token {
        let signed: String = webhook.signed.iter().map(signed_part).collect();
        let _ = writeln!(text, "- Signed: {}.", code(&signed.replace('\n', "\\n")));
    }
}

fn time(text: &mut String, webhook: &Webhook) {
    if webhook.timestamp.is_none() && webhook.scheme != Scheme::Stripe {
        return;
    }
    let form = match webhook.timestamp_form {
        TimestampForm::Seconds => "seconds since 1970",
        TimestampForm::Milliseconds => "milliseconds since 1970",
        TimestampForm::Rfc3339 => "RFC 3339",
        TimestampForm::Any => "RFC 3339 or an HTTP date",
    };
    let header = webhook.timestamp.as_deref().map(|name| format!("{}, ", code(name))).unwrap_or_default();
    let _ = writeln!(text, "- Time: {header}{form}; at most {} from ours.", span(webhook.tolerance));
}

fn account(account: &DeliveryAccount) -> String {
    let place = match &account.place {
        AccountPlace::Header(name) => format!("the header {}, not signed", code(name)),
        AccountPlace::Body(path) => format!("{} in the body", code(&path.to_string())),
    };
    let prefix =
        if account.prefix.is_empty() { String::new() } else { format!(" after {}", code(&account.prefix)) };
    let setting = account.setting.as_ref().map(|name| format!(", as the setting {}", code(name)));
    format!("{place}{prefix}{}", setting.unwrap_or_default())
}

fn key_place(place: &KeyPlace) -> String {
    match place {
        KeyPlace::Secret(name) => format!("secret.{name}"),
        KeyPlace::App(name) => format!("app.{name}"),
        KeyPlace::AppSecret => "app.client_secret".to_owned(),
    }
}

fn signed_part(part: &Signed) -> String {
    match part {
        Signed::Literal(text) => text.clone(),
        Signed::Method => "{method}".to_owned(),
        Signed::Url => "{url}".to_owned(),
        Signed::Target => "{target}".to_owned(),
        Signed::Body => "{body}".to_owned(),
        Signed::BodySha256 => "{body_sha256}".to_owned(),
        Signed::Timestamp => "{timestamp}".to_owned(),
        Signed::Id => "{id}".to_owned(),
        Signed::ClientId => "{app.client_id}".to_owned(),
    }
}
