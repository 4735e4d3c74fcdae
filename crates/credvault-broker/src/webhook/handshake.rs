//! Handshakes: requests by which a provider asks whether an endpoint exists. They are no deliveries, and no forgeries
//! either. A provider whose handshake is refused disables its webhook.

use credvault_catalog::{Handshake, KeyPlace, Method, Webhook};
use credvault_crypto::same_secret;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use super::account::content;
use super::delivery::Delivery;

/// The handshake that a request is, if it is one. Signed handshakes are recognised only if `signed`, that is, after their
/// signature was found valid; others only if there is no signature. `secret` gives the secrets that a handshake may repeat.
pub fn handshake<'w, 'k>(
    webhook: &'w Webhook,
    delivery: &Delivery<'_>,
    signed: bool,
    secret: impl Fn(&KeyPlace) -> Option<&'k SecretString>,
) -> Option<&'w Handshake> {
    let mut handshakes = webhook.handshakes.iter().filter(|handshake| handshake.signed == signed);
    handshakes.find(|handshake| {
        let asked = match handshake.method {
            Method::Get if delivery.method.eq_ignore_ascii_case("GET") => query(delivery.url),
            Method::Post if delivery.method.eq_ignore_ascii_case("POST") => content(delivery.body),
            Method::Get | Method::Post | Method::Delete => return false,
        };
        let repeats = handshake.token(&asked).is_none_or(|(place, sent)| {
            let kept = secret(place).map(|kept| kept.expose_secret()).filter(|kept| !kept.trim().is_empty());
            kept.zip(sent).is_some_and(|(kept, sent)| same_secret(&sent, kept))
        });
        handshake.is(&asked) && repeats
    })
}

/// The parameters of a URL. Their names have dots, as `hub.mode`, which paths do not: they become `hub: { mode }`.
fn query(url: &str) -> Value {
    let mut all = serde_json::Map::new();
    let Ok(url) = Url::parse(url) else { return Value::Null };
    for (name, value) in url.query_pairs() {
        let value = Value::String(value.into_owned());
        match name.split_once('.') {
            Some((group, name)) => {
                let group =
                    all.entry(group.to_owned()).or_insert_with(|| Value::Object(serde_json::Map::new()));
                if let Value::Object(group) = group {
                    group.insert(name.to_owned(), value);
                }
            }
            None => {
                all.insert(name.into_owned(), value);
            }
        }
    }
    Value::Object(all)
}
