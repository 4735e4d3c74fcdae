//! Every setting with its value and the value's origin, for `config show`. Secrets are hidden.

use serde_json::Value;

use super::origin::Origin;
use super::raw::RawSettings;

/// A setting as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The key, such as `identity.issuers[0].name`.
    pub key: String,
    /// The value as JSON, `(secret)`, or `(unset)` if no source gives one.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// What is shown of a setting without a value.
const UNSET: &str = "(unset)";

impl RawSettings {
    /// Every setting, in the order of the sections.
    pub fn shown(&self) -> Vec<Shown> {
        let mut shown = Vec::new();
        let values = serde_json::to_value(self).unwrap_or_default();
        let sections = values.as_object().into_iter().flatten();
        for (section, values) in sections {
            let settings = values.as_object().into_iter().flatten();
            settings.for_each(|(name, value)| self.show(format!("{section}.{name}"), value, &mut shown));
        }
        shown
    }

    fn show(&self, key: String, value: &Value, shown: &mut Vec<Shown>) {
        let origin = self.problems.origins().of(&key);
        let value = match value {
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for (index, item) in items.iter().enumerate() {
                    let settings = item.as_object().into_iter().flatten();
                    settings
                        .for_each(|(name, value)| self.show(format!("{key}[{index}].{name}"), value, shown));
                }
                return;
            }
            Value::Object(tables) if !tables.is_empty() && tables.values().all(Value::is_object) => {
                for (table, settings) in tables {
                    let settings = settings.as_object().into_iter().flatten();
                    settings
                        .for_each(|(name, value)| self.show(format!("{key}.{table}.{name}"), value, shown));
                }
                return;
            }
            Value::Null => UNSET.to_owned(),
            Value::String(text) if text.is_empty() && origin == Origin::Default => UNSET.to_owned(),
            Value::String(text) if text.is_empty() => value.to_string(),
            Value::String(text) => text.clone(),
            Value::Array(items) if items.is_empty() => UNSET.to_owned(),
            Value::Object(entries) if entries.is_empty() => UNSET.to_owned(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        shown.push(Shown { key, value, origin });
    }
}
