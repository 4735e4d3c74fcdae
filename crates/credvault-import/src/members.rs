//! What a row says, wherever it says it: in the credential's document, in the document of settings, or in a column.

use std::collections::BTreeMap;

use serde_json::{Map as JsonMap, Value};

use crate::name::{plain, shown};
use crate::record::{Record, text};
use crate::time::is_endless;

/// By plain name: the name as it is spelled, and the value.
type Spelled = BTreeMap<String, (String, Value)>;

/// Where a row says something.
#[derive(Clone, Copy)]
enum Place {
    Document,
    Settings,
    Columns,
}

/// Where a member is looked for, one place after the other.
const PLACES: [Place; 3] = [Place::Document, Place::Settings, Place::Columns];

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
        PLACES.into_iter().find_map(|place| self.within(place, name))
    }

    /// The one among these that the row has, with its value: a member, or else a setting, or else a column. The error is
    /// two of them that are in the same place and have different values.
    pub(crate) fn one_of<'n>(&self, names: &[&'n str]) -> Result<Option<(&'n str, &Value)>, [&'n str; 2]> {
        for place in PLACES {
            let mut found = names.iter().filter_map(|name| Some((*name, self.within(place, name)?)));
            let Some((first, value)) = found.next() else { continue };
            return match found.find(|(_, other)| !same(value, other)) {
                Some((second, _)) => Err([first, second]),
                None => Ok(Some((first, value))),
            };
        }
        Ok(None)
    }

    /// The values of these names: first those of the document, then of the settings, then of the columns.
    pub(crate) fn each(&self, names: &'static [&'static str]) -> impl Iterator<Item = &Value> {
        PLACES
            .into_iter()
            .flat_map(move |place| names.iter().filter_map(move |name| self.within(place, name)))
    }

    /// The same of names that say when an owner consented. A variable of such a name is about something else.
    pub(crate) fn consents(&self, names: &'static [&'static str]) -> impl Iterator<Item = &Value> {
        self.each(names).filter(move |_| !self.variables)
    }

    fn within(&self, place: Place, name: &str) -> Option<&Value> {
        let said = match place {
            Place::Document => at(&self.document, name),
            Place::Settings => at(&self.settings, name),
            Place::Columns => self.record.get(name),
        };
        said.filter(|value| !is_endless(name, value))
    }

    /// When something ends. A variable of this name is about something else.
    pub(crate) fn expiry(&self, name: &str) -> Option<&Value> {
        self.get(name).filter(|_| !self.variables)
    }

    /// A scalar as a text; nothing if it is an object or a list.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        text(self.get(name)?)
    }

    /// The document's members, with their names as they are spelled.
    pub(crate) fn of_document(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.document.values().map(|(name, value)| (name.as_str(), value))
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

/// The value of a name, or of a path into an object, such as `team.id`.
fn at<'v>(spelled: &'v Spelled, name: &str) -> Option<&'v Value> {
    let whole = spelled.get(&plain(name)).map(|(_, value)| value);
    whole.or_else(|| {
        let (outer, path) = name.split_once('.')?;
        let (_, object) = spelled.get(&plain(outer))?;
        inside(object, path)
    })
}

fn inside<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let mut members = object.as_object()?.iter();
    let (_, value) = members.find(|(key, value)| plain(key) == plain(name) && !is_nothing(value))?;
    match rest {
        Some(rest) => inside(value, rest),
        None => Some(value),
    }
}

/// Whether a value says nothing: CSV has no other way to say so than an empty text.
pub(crate) fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// Whether two values are one: as texts, if they have one.
fn same(one: &Value, other: &Value) -> bool {
    one == other || text(one).is_some_and(|one| text(other).is_some_and(|other| one == other))
}

/// Members by plain name, without those that have no value; or the name of one that has two values.
fn spelled(members: JsonMap<String, Value>) -> Result<Spelled, String> {
    let mut all = Spelled::new();
    for (name, value) in members {
        if is_nothing(&value) {
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
