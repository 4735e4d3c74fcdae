//! What a row says, wherever it says it: in the credential's document, in the document of settings, or in a column.

use std::collections::BTreeMap;

use serde_json::{Map as JsonMap, Value};

use crate::name::{plain, shown};
use crate::record::{Record, text};

/// By plain name: the name as it is spelled, and the value.
type Spelled = BTreeMap<String, (String, Value)>;

/// The members of a credential, its settings, and the columns beside it.
pub(crate) struct Members<'a> {
    document: Spelled,
    settings: Spelled,
    record: &'a Record,
    /// Whether the columns are variables of an environment.
    variables: bool,
}

impl<'a> Members<'a> {
    /// The members of a row. The error names a member that is there in two spellings with different values.
    pub(crate) fn new(
        document: JsonMap<String, Value>,
        settings: JsonMap<String, Value>,
        record: &'a Record,
    ) -> Result<Self, String> {
        let twice = |of: &'static str| {
            move |name: String| {
                let name = shown(&name);
                format!("{of} the member {name} in two spellings, with different values; remove one of them")
            }
        };
        let document = spelled(document).map_err(twice("its credential has"))?;
        let settings = spelled(settings).map_err(twice("its settings have"))?;
        Ok(Self { document, settings, record, variables: false })
    }

    /// The variables of an environment.
    pub(crate) fn of_variables(record: &'a Record) -> Self {
        Self { document: Spelled::new(), settings: Spelled::new(), record, variables: true }
    }

    /// A member, or else a setting, or else a column.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let name = plain(name);
        let said = self.document.get(&name).or_else(|| self.settings.get(&name));
        said.map(|(_, value)| value).or_else(|| self.record.get(&name))
    }

    /// When something ends. A variable of this name is about something else.
    pub(crate) fn expiry(&self, name: &str) -> Option<&Value> {
        self.get(name).filter(|_| !self.variables)
    }

    /// A scalar as a text; nothing if it is an object or a list.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        text(self.get(name)?)
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

/// Members by plain name, without those that have no value; or the name of one that has two values.
fn spelled(members: JsonMap<String, Value>) -> Result<Spelled, String> {
    let mut all = Spelled::new();
    for (name, value) in members {
        if value.is_null() || value.as_str() == Some("") {
            continue;
        }
        match all.get(&plain(&name)) {
            Some((_, other)) if *other != value => return Err(name),
            Some(_) => {}
            None => {
                all.insert(plain(&name), (name, value));
            }
        }
    }
    Ok(all)
}
