//! Which account a delivery is about. An app's key signs for every account that has consented to the app, so a valid
//! signature alone says nothing about the connection.

use credvault_catalog::{AccountPlace, KnownAccount, Match, Webhook};
use serde_json::Value;

use super::delivery::Delivery;
use crate::http::reader;

/// What a delivery says about the account of a connection, which is known or claimed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Named {
    /// It is about the connection's account. The text names the account in the signed part, if the signed part names it.
    This(Option<String>),
    /// It is about another account.
    Other,
    /// It names no account.
    None,
    /// The provider has not confirmed which account the connection has: at most the connection's settings say so.
    Unconfirmed,
    /// The provider's file does not say where a delivery names its account.
    NotSaid,
}

/// Compares the account that a delivery names with what is known of the connection's account.
pub fn named(webhook: &Webhook, delivery: &Delivery<'_>, account: &KnownAccount<'_>) -> Named {
    if webhook.accounts.is_empty() {
        return Named::NotSaid;
    }
    let body = content(delivery.body);
    let (mut known, mut claimed, mut others) = (false, false, false);
    for place in &webhook.accounts {
        let (names, signed) = match &place.place {
            AccountPlace::Header(name) => {
                let value = delivery.header(name).ok().flatten();
                let value = value.and_then(|value| value.strip_prefix(place.prefix.as_str()));
                (value.map(str::to_owned).into_iter().collect(), false)
            }
            AccountPlace::Body(_) => (place.in_body(&body), true),
        };
        match place.is_among(&names, account) {
            Some(Match::Confirmed(name)) => return Named::This(signed.then_some(name)),
            Some(Match::Claimed) => claimed = true,
            Some(Match::No) => known = true,
            None => {}
        }
        others |= !names.is_empty();
    }
    match (known, claimed, others) {
        (_, true, _) | (false, ..) => Named::Unconfirmed,
        (true, false, true) => Named::Other,
        (true, false, false) => Named::None,
    }
}

/// The body as JSON. Values of a form that are JSON themselves are parsed, too: Slack's buttons send such values.
pub(super) fn content(body: &[u8]) -> Value {
    let mut content = reader::body(body, "").unwrap_or_default();
    if let Value::Object(members) = &mut content {
        for member in members.values_mut() {
            let inner = member.as_str().filter(|text| text.starts_with('{'));
            if let Some(inner) = inner.and_then(|text| serde_json::from_str(text).ok()) {
                *member = inner;
            }
        }
    }
    content
}
