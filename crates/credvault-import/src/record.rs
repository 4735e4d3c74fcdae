//! A row of another system: its columns by name.

use std::collections::BTreeMap;

use serde_json::{Map as JsonMap, Value};

use crate::name::plain;
use crate::strict::{self, Read};

/// A row. An empty text counts as nothing, for CSV has no other way to say so.
#[derive(Default)]
pub struct Record {
    /// Values, by plain name. Of a column without a value, null.
    columns: BTreeMap<String, Value>,
    /// A key that the row, or an object in it, has twice.
    twice: Option<String>,
}

impl Record {
    /// A row of these columns.
    pub fn new(columns: JsonMap<String, Value>) -> Self {
        let mut all = BTreeMap::new();
        for (name, value) in columns {
            if value.is_null() || value.as_str() == Some("") {
                all.entry(plain(&name)).or_insert(Value::Null);
            } else {
                all.insert(plain(&name), value);
            }
        }
        Self { columns: all, twice: None }
    }

    /// The row that a JSON object describes. `None` if the text is none.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        match strict::read(text)? {
            Read { value: Value::Object(columns), twice } => Some(Self { twice, ..Self::new(columns) }),
            Read { .. } => None,
        }
    }

    /// A key that the row, or an object in it, has twice.
    pub(crate) fn twice(&self) -> Option<&str> {
        self.twice.as_deref()
    }

    /// Whether the row has the column, with a value or without.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.contains_key(&plain(column))
    }

    /// The value of a column, if there is one.
    pub(crate) fn get(&self, column: &str) -> Option<&Value> {
        self.columns.get(&plain(column)).filter(|value| !value.is_null())
    }

    /// The same as a text: a number or a boolean as JSON writes it.
    pub(crate) fn text(&self, column: &str) -> Option<String> {
        text(self.get(column)?)
    }

    /// The value of the first of these columns that has one.
    pub(crate) fn first_value(&self, columns: &[String]) -> Option<&Value> {
        columns.iter().find_map(|column| self.get(column))
    }

    /// The text of the first of these columns that has one.
    pub(crate) fn first(&self, columns: &[String]) -> Option<String> {
        columns.iter().find_map(|column| self.text(column))
    }

    /// Whether a column says yes (`true`, `t`, `yes`, `y`, `on`, `1`) or no. `None` if it is absent or says something else.
    pub(crate) fn flag(&self, column: &str) -> Option<bool> {
        match self.text(column)?.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record")
    }
}

/// A scalar as a text; so is an id as MongoDB exports it, `{"$oid": "..."}`.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Object(object) if object.len() == 1 => Some(object.get("$oid")?.as_str()?.to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
