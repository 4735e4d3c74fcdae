//! Parameters of a request, from a query, a form or a JSON object. The first of a name counts.

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

/// Other names that real providers accept for the same parameter.
const ALIASES: [(&str, &[&str]); 6] = [
    // TikTok Shop, TikTok Ads, Walmart, Amazon.
    ("client_id", &["app_key", "app_id", "clientId", "application_id"]),
    ("client_secret", &["app_secret", "secret"]),
    ("code", &["auth_code"]),
    ("redirect_uri", &["redirectUri"]),
    ("response_type", &["responseType"]),
    ("scope", &["scopes"]),
];

#[derive(Default)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Parses a query or the body of a form.
    pub(crate) fn form(bytes: &[u8]) -> Self {
        let mut pairs = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(bytes) {
            pairs.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(pairs)
    }

    pub(crate) fn query(query: Option<&str>) -> Self {
        Self::form(query.unwrap_or_default().as_bytes())
    }

    /// Parses a JSON object, with numbers and booleans as text.
    pub(crate) fn json(bytes: &[u8]) -> Option<Self> {
        let Ok(Value::Object(members)) = serde_json::from_slice(bytes) else { return None };
        let pairs = members.into_iter().filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, text)),
            Value::Number(_) | Value::Bool(_) => Some((name, value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        });
        Some(Self(pairs.collect()))
    }

    /// A value that is there and not empty, under its own name or an alias.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let aliases =
            ALIASES.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, aliases)| aliases);
        let mut names = std::iter::once(&name).chain(aliases);
        names.find_map(|name| self.0.get(*name)).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The scopes, however they are separated.
    pub(crate) fn scopes(&self) -> Vec<String> {
        let text = self.get("scope").unwrap_or_default();
        text.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
    }

    /// The account name that the person typed, if it has 1 to 100 bytes.
    pub(crate) fn account(&self) -> Option<&str> {
        self.get("account").filter(|account| account.len() <= 100)
    }

    /// Adds the parameters that are missing here.
    pub(crate) fn or(mut self, other: Self) -> Self {
        for (name, value) in other.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }
}

/// Whether a URL stays on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

/// The URL with further query parameters.
pub(crate) fn with_pairs(url: &Url, pairs: &[(&str, &str)]) -> String {
    let mut url = url.clone();
    url.query_pairs_mut().extend_pairs(pairs);
    url.into()
}
