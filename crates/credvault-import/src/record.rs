//! A row of another system: its columns by name.

use std::collections::BTreeMap;

use serde_json::{Map as JsonMap, Value};

use crate::name::plain;

/// A row. An empty text counts as nothing, for CSV has no other way to say so.
#[derive(Default)]
pub struct Record {
    /// Values, by plain name.
    columns: BTreeMap<String, Value>,
}

impl Record {
    /// A row of these columns.
    pub fn new(columns: JsonMap<String, Value>) -> Self {
        let empty = |value: &Value| value.is_null() || value.as_str().is_some_and(str::is_empty);
        let columns = columns.into_iter().filter(|(_, value)| !empty(value));
        Self { columns: columns.map(|(name, value)| (plain(&name), value)).collect() }
    }

    /// The value of a column, if there is one.
    pub(crate) fn get(&self, column: &str) -> Option<&Value> {
        self.columns.get(&plain(column))
    }

    /// The same as a text: a number or a boolean as JSON writes it.
    pub(crate) fn text(&self, column: &str) -> Option<String> {
        text(self.get(column)?)
    }

    /// Whether a column says no: `false`, `f`, `no`, `0`. `None` if it is absent or says something else.
    pub(crate) fn flag(&self, column: &str) -> Option<bool> {
        match self.text(column)?.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "1" => Some(true),
            "false" | "f" | "no" | "0" => Some(false),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record")
    }
}

/// A scalar as a text.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
