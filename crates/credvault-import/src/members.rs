//! What a row says, wherever it says it: in the credential's document, in the document of settings, or in a column.

use std::collections::BTreeMap;

use serde_json::{Map as JsonMap, Value};

use crate::name::plain;
use crate::record::{Record, text};

/// The members of a credential, its settings, and the columns beside it.
pub(crate) struct Members<'a> {
    /// By plain name: the name as it is spelled, and the value.
    document: BTreeMap<String, (String, Value)>,
    settings: BTreeMap<String, Value>,
    record: &'a Record,
}

impl<'a> Members<'a> {
    pub(crate) fn new(
        document: JsonMap<String, Value>,
        settings: JsonMap<String, Value>,
        record: &'a Record,
    ) -> Self {
        let given = |value: &Value| !value.is_null() && value.as_str() != Some("");
        let document = document.into_iter().filter(|(_, value)| given(value));
        Self {
            document: document.map(|(name, value)| (plain(&name), (name, value))).collect(),
            settings: settings.into_iter().map(|(name, value)| (plain(&name), value)).collect(),
            record,
        }
    }

    /// A member, or else a setting, or else a column.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let name = plain(name);
        let member = self.document.get(&name).map(|(_, value)| value);
        member.or_else(|| self.settings.get(&name)).or_else(|| self.record.get(&name))
    }

    /// The same as a text; a document as its JSON.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        text(value).or_else(|| (value.is_object() || value.is_array()).then(|| value.to_string()))
    }

    /// The names of the document's members as they are spelled.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.document.values().map(|(name, _)| name.as_str())
    }

    /// Whether the document has no member.
    pub(crate) fn is_empty(&self) -> bool {
        self.document.is_empty()
    }

    /// The document as JSON.
    pub(crate) fn whole(&self) -> String {
        let members = self.document.values().map(|(name, value)| (name.clone(), value.clone()));
        Value::Object(members.collect()).to_string()
    }
}
