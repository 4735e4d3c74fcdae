//! Settings that a provider's answer contains, such as the shop that a user has consented for.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::path::Path;

/// Where an answer has settings, by the setting's name.
#[derive(Debug)]
pub(crate) struct SettingPaths(pub(crate) BTreeMap<String, SettingPath>);

/// Where an answer has one setting.
#[derive(Debug)]
pub(crate) struct SettingPath {
    pub(crate) path: Path,
    /// Whether the setting is a text. A number in the answer is then written as a text.
    pub(crate) text: bool,
}

impl SettingPaths {
    /// The settings that `body` contains. Values are not checked here.
    pub(crate) fn read(&self, body: &Value) -> BTreeMap<String, Value> {
        let value = |place: &SettingPath| match place.path.of(body)? {
            Value::Number(number) if place.text => Some(Value::String(number.to_string())),
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_)) => Some(other.clone()),
        };
        self.0.iter().filter_map(|(name, place)| Some((name.clone(), value(place)?))).collect()
    }
}
