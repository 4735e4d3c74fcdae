//! The non-secret settings of a connection, such as region, shop domain or seller id. Checks size and form only: the
//! catalog knows which settings a provider has.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The largest config, measured as compact JSON.
pub const MAX_CONFIG_BYTES: usize = 16 * 1024;
/// The largest number of nested objects and lists, the outermost included.
const MAX_DEPTH: usize = 8;

/// A JSON object of at most 16 KiB and 8 levels.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Config(Map<String, Value>);

/// The reason why a config is refused, whatever its provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// The object has more than [`MAX_CONFIG_BYTES`].
    #[error("must be at most 16 KiB as JSON")]
    TooLarge,
    /// A name or value holds U+0000, which PostgreSQL cannot store.
    #[error("must not have the character U+0000 in a name or value")]
    Nul,
    /// The object has more than 8 levels.
    #[error("must be nested at most 8 levels deep")]
    TooDeep,
}

impl Config {
    /// Checks size and depth.
    ///
    /// # Errors
    /// The object is larger or deeper than the limit.
    pub fn new(object: Map<String, Value>) -> Result<Self, ConfigError> {
        if object.values().any(|value| depth_exceeds(value, MAX_DEPTH - 1)) {
            return Err(ConfigError::TooDeep);
        }
        if object.iter().any(|(name, value)| name.contains('\0') || has_nul(value)) {
            return Err(ConfigError::Nul);
        }
        // Serialising a tree of strings, numbers and booleans cannot fail; a failure would count as too large.
        let size = serde_json::to_vec(&object).map_or(usize::MAX, |json| json.len());
        if size > MAX_CONFIG_BYTES { Err(ConfigError::TooLarge) } else { Ok(Self(object)) }
    }

    /// A config that was checked before it was stored.
    pub fn from_stored(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// The value of one setting.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The settings, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The settings as one object.
    pub fn as_object(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Takes the settings as one object.
    pub fn into_object(self) -> Map<String, Value> {
        self.0
    }
}

/// The settings that decide where a secret is sent, each with its default.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Destinations {
    /// Those that decide the host. No other setting appears in the host of a URL in the provider's file.
    hosts: BTreeMap<String, Option<Value>>,
    /// Those that the calls need which end a key: with others, the same calls are about another account.
    keys: BTreeMap<String, Option<Value>>,
}

impl Destinations {
    /// These settings decide the host, each with its default.
    pub fn new(hosts: BTreeMap<String, Option<Value>>) -> Self {
        Self { hosts, keys: BTreeMap::new() }
    }

    /// The same, and these settings are in the calls that end a key.
    #[must_use]
    pub fn with_keys(self, keys: BTreeMap<String, Option<Value>>) -> Self {
        Self { keys, ..self }
    }

    /// The names of the settings that decide the host.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// Whether two configs lead to different hosts. `before` is the stored value, which may be any JSON.
    pub fn differ(&self, before: &Value, after: &Config) -> bool {
        differ(&self.hosts, before, after)
    }

    /// Whether keys that wait for their end must be left, for the calls that end them differ with the config `after`.
    pub fn leave_keys(&self, before: &Value, after: &Config) -> bool {
        differ(&self.keys, before, after)
    }
}

fn differ(settings: &BTreeMap<String, Option<Value>>, before: &Value, after: &Config) -> bool {
    settings.iter().any(|(name, default)| {
        let old = before.get(name).or(default.as_ref());
        old != after.get(name).or(default.as_ref())
    })
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, field)| name.contains('\0') || has_nul(field)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn depth_exceeds(value: &Value, allowed: usize) -> bool {
    match value {
        Value::Array(items) => allowed == 0 || items.iter().any(|item| depth_exceeds(item, allowed - 1)),
        Value::Object(fields) => {
            allowed == 0 || fields.values().any(|field| depth_exceeds(field, allowed - 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> Map<String, Value> {
        let mut value = Value::Bool(true);
        for _ in 1..levels {
            value = Value::Array(vec![value]);
        }
        Map::from_iter([("a".to_owned(), value)])
    }

    #[test]
    fn the_limits_are_exact() {
        assert!(Config::new(nested(8)).is_ok());
        assert_eq!(Config::new(nested(9)), Err(ConfigError::TooDeep));
        let nul = Map::from_iter([("a".to_owned(), serde_json::json!([{ "b": "x\u{0}" }]))]);
        assert_eq!(Config::new(nul), Err(ConfigError::Nul));
        let sized = |bytes: usize| Map::from_iter([("a".to_owned(), Value::String("x".repeat(bytes - 8)))]);
        assert!(Config::new(sized(MAX_CONFIG_BYTES)).is_ok());
        assert_eq!(Config::new(sized(MAX_CONFIG_BYTES + 1)), Err(ConfigError::TooLarge));
    }
}
