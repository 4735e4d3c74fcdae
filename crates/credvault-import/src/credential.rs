//! The credential of a row, opened: from one column, from several, or from the export of a secret store.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map as JsonMap, Value};

use crate::layout::looks_sealed;
use crate::map::Columns;
use crate::name::shown;
use crate::record::{Record, text};
use crate::strict::{self, NoObject, Read, twice};
use crate::system::System;
use crate::unseal::Unsealer;

/// Why there is no key, and what to do.
const NO_KEY: &str = "it is sealed; give the key with --key-file, --key-env or the variable ENCRYPTION_KEY (kpi-etl: \
                      ENCRYPTION_KEY_SALT)";
/// Why a value is refused even if values are plain.
const LOOKS_SEALED: &str = "looks sealed; give its key with --key-file or --key-env, and its --layout";

/// The exported content of a secret store, by reference.
#[derive(Default)]
pub struct References {
    exported: BTreeMap<String, Value>,
    /// The project of each secret that was found by its bare name: two projects may have secrets of one name.
    projects: Mutex<BTreeMap<String, String>>,
}

impl References {
    /// Reads an export: a JSON object from references to credentials, each a JSON object or its text.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence about the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        match strict::object(text) {
            Ok(references) => {
                Ok(Self { exported: references.into_iter().collect(), projects: Mutex::default() })
            }
            Err(NoObject::Twice(key)) => Err(twice(&key)),
            Err(NoObject::Form) => Err("must be a JSON object from references to credentials".to_owned()),
        }
    }

    /// What a reference stands for: by its whole text; by that without its version, where the export names none; or by the
    /// name in `projects/P/secrets/NAME/versions/V`, if only one project has it.
    fn get(&self, reference: &str) -> Result<&Value, String> {
        let unversioned = reference.split_once("/versions/").map_or(reference, |(secret, _)| secret);
        if let Some(found) = self.exported.get(reference).or_else(|| self.exported.get(unversioned)) {
            return Ok(found);
        }
        let named = unversioned.split_once("/secrets/");
        let Some((project, name, found)) =
            named.and_then(|(project, name)| Some((project, name, self.exported.get(name)?)))
        else {
            return Err(self.missing().to_owned());
        };
        let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        if projects.entry(name.to_owned()).or_insert_with(|| project.to_owned()).as_str() == project {
            Ok(found)
        } else {
            Err("the export has its secret by the bare name, and another row has a secret of this name in another project; \
                 export both by their whole references"
                .to_owned())
        }
    }

    /// What to do about a reference that stands for nothing.
    fn missing(&self) -> &'static str {
        if self.exported.is_empty() {
            "its credential is in a secret store; export that, and name the file with --secrets"
        } else {
            "its credential is in a secret store, and what --secrets names has no entry for its reference; export that \
             secret, too, with the version that the reference has, or with none"
        }
    }
}

impl std::fmt::Debug for References {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("References")
    }
}

/// What opens the credential of a row. Its errors are sentences without a value of the row.
pub(crate) struct Opening<'a> {
    pub(crate) system: System,
    pub(crate) columns: &'a Columns,
    pub(crate) unsealer: Option<&'a Unsealer>,
    pub(crate) references: &'a References,
    /// Whether values that are not sealed are taken as they are.
    pub(crate) plain: bool,
}

impl Opening<'_> {
    /// The credential of a row. Empty if the row has none.
    pub(crate) fn document(
        &self,
        record: &Record,
        user: Option<&str>,
    ) -> Result<JsonMap<String, Value>, String> {
        let columns = self.columns;
        let places = [&columns.sealed, &columns.credentials, &columns.reference].map(|names| names.iter());
        let places: Vec<_> = places.into_iter().flatten().map(String::as_str).collect();
        // An empty column says that there is no credential. A column of another name may have one, which would be lost.
        if !places.iter().any(|column| record.has(column)) {
            return Err(format!(
                "the row has no column for its credential ({}); name it in the map: columns.credentials",
                places.join(", ")
            ));
        }
        let salt = record.first(&columns.salt);
        if !columns.sealed.is_empty() {
            return self.sealed_columns(record, user, salt.as_deref());
        }
        let Some(value) = record.first_value(&columns.credentials) else {
            return self.referenced(record);
        };
        if record.first_value(&columns.reference).is_some() {
            return Err("the row has both a credential and a reference to a secret store; empty the one that is not in use"
                .to_owned());
        }
        let no_object = |why: NoObject| why.of("its credential");
        let (Some(unsealer), Value::String(text)) = (self.unsealer, value) else {
            if self.system.is_sealed() && self.unsealer.is_none() {
                return Err(NO_KEY.to_owned());
            }
            return object_of(value).map_err(no_object);
        };
        let parts = record.first(&columns.iv).zip(record.first(&columns.tag));
        if self.plain && parts.is_none() && !unsealer.fits(text) {
            return object_of(value).map_err(no_object);
        }
        let opened = match &parts {
            Some((iv, tag)) => unsealer.open_columns([iv, tag, text], user, salt.as_deref()),
            None => unsealer.open(text, user, salt.as_deref()),
        };
        let opened = opened.map_err(|error| format!("its credential is not opened: {error}"))?;
        let text = std::str::from_utf8(&opened).map_err(|_| "its credential is no text".to_owned())?;
        match strict::read(text.as_bytes()) {
            Some(Read { value: Value::Object(_), twice: Some(key) }) => Err(no_object(NoObject::Twice(key))),
            Some(Read { value: Value::Object(object), twice: None }) => Ok(object),
            Some(Read { value: Value::Array(_), .. }) => Err(no_object(NoObject::Form)),
            Some(_) | None => Ok(value_alone(text)),
        }
    }

    /// The members that stand in columns of their own, each opened.
    fn sealed_columns(
        &self,
        record: &Record,
        user: Option<&str>,
        salt: Option<&str>,
    ) -> Result<JsonMap<String, Value>, String> {
        let mut document = JsonMap::new();
        for column in &self.columns.sealed {
            let Some(value) = record.get(column) else { continue };
            let name = shown(column);
            let text = text(value).ok_or_else(|| format!("{name} is an object or a list, and no text"))?;
            document.insert(column.clone(), self.sealed_column(name, text, user, salt)?.into());
        }
        Ok(document)
    }

    /// The value of a column that is sealed by itself, or plain where that is said.
    fn sealed_column(
        &self,
        name: &str,
        text: String,
        user: Option<&str>,
        salt: Option<&str>,
    ) -> Result<String, String> {
        match self.unsealer {
            Some(unsealer) if unsealer.fits(&text) => {
                let opened = unsealer.open(&text, user, salt);
                let opened = opened.map_err(|error| format!("{name} is not opened: {error}"))?;
                let opened = std::str::from_utf8(&opened).map_err(|_| format!("{name} is no text"))?;
                Ok(opened.to_owned())
            }
            Some(_) | None if self.plain && looks_sealed(&text) => Err(format!("{name} {LOOKS_SEALED}")),
            Some(_) | None if self.plain => Ok(text),
            Some(_) => Err(format!(
                "{name} is not of the layout that --layout names; give its --layout, or --plain if it is not sealed"
            )),
            None => Err(NO_KEY.to_owned()),
        }
    }

    /// The credential that a reference stands for.
    fn referenced(&self, record: &Record) -> Result<JsonMap<String, Value>, String> {
        let Some(reference) = record.first(&self.columns.reference) else { return Ok(JsonMap::new()) };
        let found = self.references.get(&reference)?;
        object_of(found).map_err(|why| why.of("what its reference stands for"))
    }
}

/// A JSON object, or the text of one, also where that was written as JSON twice. The text `null` is an empty object, for so
/// CSV has a JSON column without a value.
pub(crate) fn object_of(value: &Value) -> Result<JsonMap<String, Value>, NoObject> {
    match value {
        Value::Object(object) => Ok(object.clone()),
        Value::String(text) => match strict::read(text.as_bytes()) {
            Some(Read { value: Value::String(inner), .. }) => strict::object(&inner),
            Some(Read { value: Value::Null, .. }) => Ok(JsonMap::new()),
            Some(_) | None => strict::object(text),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(NoObject::Form),
    }
}

/// A credential that is one text, such as a token: its member is `value`.
fn value_alone(text: &str) -> JsonMap<String, Value> {
    JsonMap::from_iter([("value".to_owned(), Value::from(text))])
}
