//! Whose account a delivery is about. A key of the app's signs for every account that has consented to it, so a valid
//! signature alone says nothing about the connection.

use credvault_catalog::{AccountPlace, KnownAccount, Match, Webhook};
use serde_json::Value;

use super::Delivery;
use crate::reader;

/// What a delivery says about the account of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Named {
    /// It is about the connection's account, and this is what names it in the part that is signed, if that does.
    This(Option<String>),
    /// It is about another account.
    Other,
    /// It names no account.
    None,
    /// Nobody has confirmed what the connection's account is: at most the connection's own settings say so.
    Unconfirmed,
    /// The provider's file does not say where a delivery names its account.
    NotSaid,
}

/// Whose account a delivery is about, for a connection of which this is known.
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

/// The body as JSON. A form's values that are JSON themselves, as those of Slack's buttons, are read, too.
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
