//! Whose account a delivery is about. A key of the app's signs for every account that has consented to it, so a valid
//! signature alone says nothing about the connection.

use std::collections::BTreeSet;

use credvault_catalog::{AccountPlace, Webhook};
use credvault_domain::Config;
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
    /// The connection has no account to compare with: no setting that names one, and none that the provider told.
    NothingKnown,
    /// The provider's file does not say where a delivery names its account.
    NotSaid,
}

/// Whose account a delivery is about, for a connection with these settings and with `external` as its account's id, as the
/// provider told it.
pub fn named(webhook: &Webhook, delivery: &Delivery<'_>, config: &Config, external: Option<&str>) -> Named {
    if webhook.accounts.is_empty() {
        return Named::NotSaid;
    }
    if !webhook.accounts.iter().any(|account| account.of(config, external).is_some()) {
        return Named::NothingKnown;
    }
    let body = content(delivery.body);
    let mut others = BTreeSet::new();
    for account in &webhook.accounts {
        let (found, signed) = match &account.place {
            AccountPlace::Header(name) => {
                let value = delivery.header(name).ok().flatten();
                let value = value.and_then(|value| value.strip_prefix(account.prefix.as_str()));
                (value.map(str::to_owned).into_iter().collect(), false)
            }
            AccountPlace::Body(_) => (account.in_body(&body), true),
        };
        match found.iter().find(|found| account.of(config, external) == Some(found)) {
            Some(found) => return Named::This(signed.then(|| found.clone())),
            None => others.extend(found),
        }
    }
    if others.is_empty() { Named::None } else { Named::Other }
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
