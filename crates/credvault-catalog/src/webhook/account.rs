//! Whose account a webhook delivery is about, and whether that is a connection's account.

use std::collections::BTreeMap;

use credvault_domain::Config;
use serde_json::Value;

use crate::path::Path;

/// What is known about a connection's account.
#[derive(Clone, Copy, Debug)]
pub struct KnownAccount<'a> {
    /// The settings of the connection.
    pub settings: &'a Config,
    /// The settings that the provider has confirmed.
    pub confirmed_settings: &'a BTreeMap<String, String>,
    /// The account's id at the provider, if the provider has confirmed it.
    pub confirmed_id: Option<&'a str>,
}

/// Whether a delivery names a connection's account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Match {
    /// It names the account that the provider has confirmed, by this id or setting.
    Confirmed(String),
    /// It names the account in the connection's settings, which the provider has not confirmed.
    Claimed,
    /// It names other accounts only.
    No,
}

/// One way in which a delivery names the account that it is about.
#[derive(Debug)]
pub struct DeliveryAccount {
    /// Where the delivery has the account.
    pub place: AccountPlace,
    /// The text before the account's id.
    pub prefix: String,
    /// The setting that it must equal. Without one it must equal the account's id at the provider.
    pub setting: Option<String>,
}

/// Where a delivery has the account.
#[derive(Debug)]
pub enum AccountPlace {
    /// In the header with this name, in lower case. No signature covers it.
    Header(String),
    /// In the body, which the signature covers.
    Body(AccountPath),
}

/// The path to an account in a body.
#[derive(Debug)]
pub struct AccountPath(pub(crate) Path);

impl std::fmt::Display for AccountPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl DeliveryAccount {
    /// The accounts that the body names here.
    pub fn in_body(&self, body: &Value) -> Vec<String> {
        let AccountPlace::Body(AccountPath(path)) = &self.place else { return Vec::new() };
        let named = path.every(body).into_iter();
        named.filter_map(|text| text.strip_prefix(self.prefix.as_str()).map(str::to_owned)).collect()
    }

    /// The id or setting of `account` that the delivery must name, if the provider has confirmed it.
    fn confirmed<'a>(&self, account: &KnownAccount<'a>) -> Option<&'a str> {
        match &self.setting {
            Some(setting) => account.confirmed_settings.get(setting).map(String::as_str),
            None => account.confirmed_id,
        }
    }

    /// The setting of `account` that the delivery must name, as the connection's owner has written it.
    fn claimed<'a>(&self, account: &KnownAccount<'a>) -> Option<&'a str> {
        account.settings.get(self.setting.as_ref()?).and_then(Value::as_str)
    }

    /// Whether one of `names` is the account's. `None` if the account has neither the id nor the setting.
    pub fn is_among(&self, names: &[String], account: &KnownAccount<'_>) -> Option<Match> {
        let among = |known: &str| names.iter().any(|name| name == known);
        match (self.confirmed(account), self.claimed(account)) {
            (Some(known), _) if among(known) => Some(Match::Confirmed(known.to_owned())),
            (None, Some(claimed)) if among(claimed) => Some(Match::Claimed),
            (None, None) => None,
            _ => Some(Match::No),
        }
    }
}
