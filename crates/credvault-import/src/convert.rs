//! A row into what moves in: opens what is sealed, finds the kind, and puts each member into its place.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Map as JsonMap, Value};

use crate::entry::{App, Converted, Entry, Holder, Refused};
use crate::map::{AppMembers, Kind, Map};
use crate::members::Members;
use crate::name::shown;
use crate::record::Record;
use crate::system::System;
use crate::time::instant;
use crate::unseal::Unsealer;

/// Members that say when an access token ends.
const EXPIRIES: [&str; 6] =
    ["expires_at", "token_expires_at", "access_token_expires_at", "expiry", "expiry_date", "expiration"];

/// Members of an OAuth answer that nothing depends on.
const LEFT_BEHIND: [&str; 7] =
    ["token_type", "expires_in", "scope", "scopes", "created_at", "updated_at", "grant_type"];

/// The exported content of a secret store, by reference.
#[derive(Default)]
pub struct References(BTreeMap<String, Value>);

impl References {
    /// Reads an export: a JSON object from references to credentials, each a JSON object or its text.
    ///
    /// # Errors
    /// `None` if it is no such object.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// What a reference stands for: by its whole text, or by the secret's name in `projects/P/secrets/NAME/versions/V`.
    fn get(&self, reference: &str) -> Option<&Value> {
        let name = reference.split_once("/secrets/").map(|(_, name)| name.split('/').next().unwrap_or(name));
        self.0.get(reference).or_else(|| self.0.get(name?))
    }
}

impl std::fmt::Debug for References {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("References")
    }
}

/// Turns rows of one system into what moves in.
#[derive(Debug)]
pub struct Converter {
    /// The system whose rows these are.
    pub system: System,
    /// Its map, as the operator amended it.
    pub map: Map,
    /// What opens its sealed values, if there is a key.
    pub unsealer: Option<Unsealer>,
    /// What its references stand for.
    pub references: References,
    /// The owner of everything, instead of what rows say.
    pub holder: Option<Holder>,
}

/// A problem of a row, without a value of it.
type Problem = String;

impl Converter {
    /// What a row becomes.
    pub fn convert(&self, record: &Record) -> Vec<Converted> {
        let id = first(&self.map.columns.id, record);
        if self.system.has_many() {
            let members = Members::new(JsonMap::new(), JsonMap::new(), record);
            let fitting = self.map.kinds.iter().filter(|kind| kind.fits("", &members));
            return fitting.map(|kind| self.of_variables(kind, &members)).collect();
        }
        let Some(id) = id else {
            let problem = "the row has no id; name its column in the map: columns.id".to_owned();
            return vec![refused(format!("{}/?", self.system.name()), problem)];
        };
        let source = format!("{}/{id}", self.system.name());
        if self.map.columns.deleted.iter().any(|column| is_set(record, column)) {
            return vec![Converted::LeftOut(Refused { source, problem: "it is deleted there".to_owned() })];
        }
        vec![match self.entry(&source, record) {
            Ok(entry) => Converted::Entry(Box::new(entry)),
            Err(problem) => refused(source, problem),
        }]
    }

    fn of_variables(&self, kind: &Kind, members: &Members<'_>) -> Converted {
        let name = kind.app.as_ref().map_or(kind.provider.clone(), |_| format!("{}/app", kind.provider));
        let source = format!("env/{name}");
        if let Some(app) = &kind.app {
            return app_of(source, kind, app, members);
        }
        let holder = self.holder.clone().unwrap_or(Holder::Platform);
        match placed(kind, members) {
            Ok(placed) => Converted::Entry(Box::new(placed.entry(source, kind, holder))),
            Err(problem) => refused(source, problem),
        }
    }

    fn entry(&self, source: &str, record: &Record) -> Result<Entry, Problem> {
        let columns = &self.map.columns;
        let user = first(&columns.user, record);
        let document = self.document(record, user.as_deref())?;
        let settings = object_of(first_value(&columns.settings, record)).unwrap_or_default();
        let members = Members::new(document, settings, record);
        let parts: Vec<String> = columns.kind.iter().filter_map(|column| record.text(column)).collect();
        let kind = self.kind(&parts.join("/"), &members)?;
        let holder = match (&self.holder, user) {
            (Some(holder), _) => holder.clone(),
            (None, Some(user)) => Holder::User(user),
            (None, None) => Holder::Tenant,
        };
        let mut entry = placed(kind, &members)?.entry(source.to_owned(), kind, holder);
        entry.tenant = first(&columns.tenant, record);
        entry.account_name = first(&columns.account, record).unwrap_or(entry.account_name);
        entry.external_account_id = first(&columns.external_account, record).or(entry.external_account_id);
        entry.disabled = columns.active.iter().find_map(|column| record.flag(column)) == Some(false);
        entry.default = columns.current.iter().find_map(|column| record.flag(column)) == Some(true);
        let label =
            |(column, key): (&String, &String)| Some((key.clone(), record.text(column)?.to_lowercase()));
        entry.labels = columns.labels.iter().filter_map(label).collect();
        Ok(entry)
    }

    fn kind(&self, name: &str, members: &Members<'_>) -> Result<&Kind, Problem> {
        self.map.kind(name, members).ok_or_else(|| {
            let rule = if self.map.knows(name) {
                "its credential lacks what each kind of this name requires"
            } else {
                "no kind has its name"
            };
            format!("{rule}; add one to the map: [[kinds]]")
        })
    }

    /// The credential of a row, opened. Empty if the row has none.
    fn document(&self, record: &Record, user: Option<&str>) -> Result<JsonMap<String, Value>, Problem> {
        let columns = &self.map.columns;
        let salt = first(&columns.salt, record);
        if !columns.sealed.is_empty() {
            return self.sealed_columns(record, user, salt.as_deref());
        }
        let Some(value) = first_value(&columns.credentials, record) else {
            return self.referenced(record);
        };
        let (Some(unsealer), Value::String(text)) = (&self.unsealer, value) else {
            if self.system.is_sealed() && self.unsealer.is_none() {
                return Err("it is sealed; give the key with --key-file or --key-env".to_owned());
            }
            return object_of(Some(value)).ok_or_else(|| "its credential is no JSON object".to_owned());
        };
        let parts = first(&columns.iv, record).zip(first(&columns.tag, record));
        let opened = match &parts {
            Some((iv, tag)) => unsealer.open_columns([iv, tag, text], user, salt.as_deref()),
            None => unsealer.open(text, user, salt.as_deref()),
        };
        let opened = opened.map_err(|error| format!("its credential is not opened: {error}"))?;
        let text = std::str::from_utf8(&opened).map_err(|_| "its credential is no text".to_owned())?;
        Ok(object_of(Some(&Value::from(text))).unwrap_or_else(|| value_alone(text)))
    }

    /// The members that stand in columns of their own, each opened.
    fn sealed_columns(
        &self,
        record: &Record,
        user: Option<&str>,
        salt: Option<&str>,
    ) -> Result<JsonMap<String, Value>, Problem> {
        let mut document = JsonMap::new();
        for column in &self.map.columns.sealed {
            let Some(text) = record.text(column) else { continue };
            let value = match &self.unsealer {
                Some(unsealer) if unsealer.fits(&text) || !self.system.may_be_plain() => {
                    let opened = unsealer.open(&text, user, salt);
                    let opened =
                        opened.map_err(|error| format!("{} is not opened: {error}", shown(column)))?;
                    String::from_utf8_lossy(&opened).into_owned()
                }
                _ => text,
            };
            document.insert(column.clone(), value.into());
        }
        Ok(document)
    }

    /// The credential that a reference stands for.
    fn referenced(&self, record: &Record) -> Result<JsonMap<String, Value>, Problem> {
        let Some(reference) = first(&self.map.columns.reference, record) else { return Ok(JsonMap::new()) };
        let found = self.references.get(&reference).ok_or_else(|| {
            "its credential is in a secret store; export that, and name the file with --secrets".to_owned()
        })?;
        object_of(Some(found)).ok_or_else(|| "what its reference stands for is no JSON object".to_owned())
    }
}

/// What a kind makes of the members.
struct Placed {
    config: JsonMap<String, Value>,
    secrets: BTreeMap<String, SecretString>,
    expires: Option<i64>,
    external_account_id: Option<String>,
}

impl Placed {
    fn entry(self, source: String, kind: &Kind, holder: Holder) -> Entry {
        let Self { config, secrets, expires, external_account_id } = self;
        Entry {
            source,
            tenant: None,
            holder,
            provider: kind.provider.clone(),
            auth_mode: kind.auth_mode.clone(),
            account_name: kind.account_name.clone().unwrap_or_else(|| "default".to_owned()),
            config,
            secrets,
            expires,
            external_account_id,
            labels: BTreeMap::new(),
            disabled: false,
            default: false,
        }
    }
}

fn placed(kind: &Kind, members: &Members<'_>) -> Result<Placed, Problem> {
    let known = |name: &&str| {
        let is = |other: &&str| crate::name::plain(other) == crate::name::plain(name);
        kind.whole.is_some() || kind.mentions(name) || EXPIRIES.iter().chain(&LEFT_BEHIND).any(is)
    };
    if let Some(unknown) = members.names().find(|name| !known(name)) {
        let name = shown(unknown);
        return Err(format!(
            "its credential has the member {name}, which the map does not know; add it to the kind's secrets, config or \
             ignored"
        ));
    }
    let mut placed = Placed {
        config: JsonMap::new(),
        secrets: BTreeMap::new(),
        expires: EXPIRIES.iter().find_map(|name| instant(members.get(name)?)),
        external_account_id: kind.external_account.as_ref().and_then(|name| members.text(name)),
    };
    for (theirs, ours) in &kind.config {
        let value = match members.get(theirs) {
            None => continue,
            Some(value @ Value::Bool(_)) if !kind.values.contains_key(ours) => value.clone(),
            // Ids are texts of ours, even if they have digits only.
            Some(_) => kind.value(ours, &members.text(theirs).unwrap_or_default()).into(),
        };
        placed.config.insert(ours.clone(), value);
    }
    for (theirs, ours) in &kind.secrets {
        if let Some(text) = members.text(theirs) {
            placed.secrets.insert(ours.clone(), text.into());
        }
    }
    if let Some(whole) = kind.whole.as_ref().filter(|_| !members.is_empty()) {
        placed.secrets.insert(whole.clone(), members.whole().into());
    }
    Ok(placed)
}

fn app_of(source: String, kind: &Kind, app: &AppMembers, members: &Members<'_>) -> Converted {
    match members.text(&app.client_id).zip(members.text(&app.client_secret)) {
        Some((client_id, secret)) => Converted::App(App {
            source,
            provider: kind.provider.clone(),
            client_id,
            client_secret: secret.into(),
            redirect_uri: app.redirect_uri.as_ref().and_then(|name| members.text(name)),
        }),
        None => refused(source, format!("{} and {} must both be set", app.client_id, app.client_secret)),
    }
}

fn refused(source: String, problem: Problem) -> Converted {
    Converted::Refused(Refused { source, problem })
}

fn first_value<'a>(columns: &[String], record: &'a Record) -> Option<&'a Value> {
    columns.iter().find_map(|column| record.get(column))
}

fn first(columns: &[String], record: &Record) -> Option<String> {
    columns.iter().find_map(|column| record.text(column))
}

/// Whether a column says yes, or has an instant.
fn is_set(record: &Record, column: &str) -> bool {
    record.get(column).is_some() && record.flag(column) != Some(false)
}

/// A JSON object, or the text of one.
fn object_of(value: Option<&Value>) -> Option<JsonMap<String, Value>> {
    match value? {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// A credential that is one text, such as a token: its member is `value`.
fn value_alone(text: &str) -> JsonMap<String, Value> {
    JsonMap::from_iter([("value".to_owned(), Value::from(text))])
}
