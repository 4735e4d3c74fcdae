//! A row into what moves in: whose it is, what opens it, which kind it is of.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Map as JsonMap, Value};

use crate::credential::{Opening, References, object_of};
use crate::entry::{App, Converted, Entry, Holder, Refused};
use crate::map::{AppMembers, Kind, Map};
use crate::members::Members;
use crate::name::{is_id, shown};
use crate::place::Placed;
use crate::record::Record;
use crate::strict::{NoObject, twice};
use crate::system::System;
use crate::unseal::Unsealer;

/// Turns rows of one source into what moves in.
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
    /// Whether values that are not sealed are taken as they are.
    pub plain: bool,
    /// The only tenant that a row may name, because the command says that all rows are for it.
    pub only_tenant: Option<String>,
    /// Hashes of the ids so far: eight bytes for each row. A row is taken for another one once in 10^7 sources of a
    /// million rows.
    seen: HashSet<u64>,
}

/// A problem of a row, without a value of it.
type Problem = String;

impl Converter {
    /// A converter without a key, for owners that rows name.
    pub fn new(system: System, map: Map) -> Self {
        Self {
            system,
            map,
            unsealer: None,
            references: References::default(),
            holder: None,
            plain: false,
            only_tenant: None,
            seen: HashSet::new(),
        }
    }

    /// What a row becomes. `number` names it where it has no id.
    pub fn convert(&mut self, number: u64, record: &Record) -> Vec<Converted> {
        if self.system.has_many() {
            let members = Members::of_variables(record);
            return self.map.kinds.iter().filter_map(|kind| self.of_variables(kind, &members)).collect();
        }
        let system = self.system.name();
        let without_id = |problem: &str| vec![refused(format!("{system}/row {number}"), problem.to_owned())];
        let Some(id) = record.first(&self.map.columns.id) else {
            return without_id(match record.first_value(&self.map.columns.id) {
                None => "the row has no id; name its column in the map: columns.id",
                Some(_) => "the row's id is an object or a list, and no text; export it as a text",
            });
        };
        if !is_id(&id) {
            return without_id(
                "the row's id is not 1 to 64 letters, digits and ._:@/-; give the rows such ids with --query, or name another \
                 column in the map: columns.id",
            );
        }
        let source = format!("{system}/{id}");
        if !self.seen.insert(hash(&id)) {
            return vec![refused(source, "the source has this id twice".to_owned())];
        }
        if self.map.columns.deleted.iter().any(|column| is_set(record, column)) {
            return vec![Converted::LeftOut(Refused { source, problem: "it is deleted there".to_owned() })];
        }
        vec![match self.entry(&source, record) {
            Ok(entry) => Converted::Entry(Box::new(entry)),
            Err(problem) => refused(source, problem),
        }]
    }

    /// What variables make of this kind; nothing if none of its secrets is among them.
    fn of_variables(&self, kind: &Kind, members: &Members<'_>) -> Option<Converted> {
        let name = kind.app.as_ref().map_or(kind.provider.clone(), |_| format!("{}/app", kind.provider));
        let source = format!("env/{name}");
        if !kind.fits("", members) {
            let mut secrets = kind.secrets.keys().chain(kind.app.iter().map(|app| &app.client_secret));
            let set = secrets.find(|name| members.get(name).is_some())?;
            let required = kind.requires.join(" and ");
            return Some(refused(source, format!("{set} is set, and {required} is not; both must be")));
        }
        if let Some(app) = &kind.app {
            return Some(app_of(source, kind, app, members));
        }
        let holder = self.holder.clone().unwrap_or(Holder::Platform);
        Some(match Placed::of(kind, members) {
            Ok(placed) => Converted::Entry(Box::new(placed.entry(source, kind, holder))),
            Err(problem) => refused(source, problem),
        })
    }

    fn entry(&self, source: &str, record: &Record) -> Result<Entry, Problem> {
        if let Some(key) = record.twice() {
            return Err(format!("the row {}", twice(key)));
        }
        let columns = &self.map.columns;
        let user = record.first(&columns.user);
        let holder = self.holder_of(user.as_deref())?;
        let tenant = self.tenant_of(&holder, record)?;
        let (active, current) = (flag_of(record, &columns.active)?, flag_of(record, &columns.current)?);
        let document = self.opening().document(record, user.as_deref())?;
        let members = Members::new(document, self.settings_of(record)?, record)?;
        let parts: Vec<String> = columns.kind.iter().filter_map(|column| record.text(column)).collect();
        let name = parts.join("/");
        let kind = self.kind(&name, &members)?;
        if let Some(second) = self.map.second(&name, kind, &members) {
            let (second, required) = (shown(second), kind.requires.join(" and "));
            return Err(format!(
                "the row has {second} beside {required}, and these are credentials of two kinds; give each a row of its own"
            ));
        }
        let mut entry = Placed::of(kind, &members)?.entry(source.to_owned(), kind, holder);
        entry.tenant = tenant;
        entry.account_name = record.first(&columns.account).unwrap_or(entry.account_name);
        entry.external_account_id = record.first(&columns.external_account).or(entry.external_account_id);
        entry.disabled = active == Some(false) || self.is_inactive(record);
        entry.default = current == Some(true);
        let label =
            |(column, key): (&String, &String)| Some((key.clone(), record.text(column)?.to_lowercase()));
        entry.labels = columns.labels.iter().filter_map(label).collect();
        Ok(entry)
    }

    /// Who owns a row of this user. A misspelt column must not turn what is private into what is shared.
    fn holder_of(&self, user: Option<&str>) -> Result<Holder, Problem> {
        match (&self.holder, user) {
            (Some(holder), _) => Ok(holder.clone()),
            (None, Some(user)) => Ok(Holder::User(user.to_owned())),
            (None, None) if self.map.users_required == Some(true) => {
                Err("the row has no user; name its column in the map: columns.user, or give --owner tenant"
                    .to_owned())
            }
            (None, None) => Ok(Holder::Tenant),
        }
    }

    /// The tenant that a row names. `None`: the one of the command, or of its profile where no column names one.
    fn tenant_of(&self, holder: &Holder, record: &Record) -> Result<Option<String>, Problem> {
        let columns = &self.map.columns.tenant;
        if *holder == Holder::Platform || columns.is_empty() {
            return Ok(None);
        }
        match (record.first(columns), &self.only_tenant) {
            (Some(named), Some(only)) if named != *only => Err(
                "the row names another tenant than --tenant; leave --tenant out for each row's own, or give \
                 --merge-tenants to have them all in one"
                    .to_owned(),
            ),
            (_, Some(_)) => Ok(None),
            (Some(named), None) => Ok(Some(named)),
            // A misspelt column must not turn what is one tenant's into another's.
            (None, None) => Err(format!(
                "the row has no tenant in the column {}; complete the row, name another column with --tenant-column, or \
                 give --tenant if all rows are for one tenant",
                columns.join(" or ")
            )),
        }
    }

    /// The settings of a row. A column that holds something else than an object has none.
    fn settings_of(&self, record: &Record) -> Result<JsonMap<String, Value>, Problem> {
        match record.first_value(&self.map.columns.settings).map(object_of) {
            Some(Ok(settings)) => Ok(settings),
            Some(Err(why @ NoObject::Twice(_))) => Err(why.of("its document of settings")),
            Some(Err(NoObject::Form)) | None => Ok(JsonMap::new()),
        }
    }

    /// Whether a column says by one of the map's values that the row is not in use.
    fn is_inactive(&self, record: &Record) -> bool {
        let among = |(column, values): (&String, &Vec<String>)| {
            record.text(column).is_some_and(|value| values.contains(&value.to_lowercase()))
        };
        self.map.inactive.iter().any(among)
    }

    fn opening(&self) -> Opening<'_> {
        Opening {
            system: self.system,
            columns: &self.map.columns,
            unsealer: self.unsealer.as_ref(),
            references: &self.references,
            plain: self.plain,
        }
    }

    fn kind(&self, name: &str, members: &Members<'_>) -> Result<&Kind, Problem> {
        self.map.kind(name, members).ok_or_else(|| {
            let add = "add one to the map: [[kinds]]";
            if !self.map.knows(name) {
                return if name.is_empty() {
                    "the row has no kind; name its column in the map: columns.kind".to_owned()
                } else {
                    let name: Vec<&str> = name.split('/').map(shown).collect();
                    format!("no kind has the name {}; {add}", name.join("/"))
                };
            }
            let required = self.map.required(name);
            if members.is_empty() {
                format!("it has no credential, and its kind requires {required}; connect the account anew in the vault")
            } else {
                format!(
                    "its credential lacks what each kind of its name requires: {required}; complete the row, or {add}"
                )
            }
        })
    }
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

/// What the first of these columns that has a value says. A word that is neither yes nor no is not guessed at: it may
/// switch off what must not be served.
fn flag_of(record: &Record, columns: &[String]) -> Result<Option<bool>, Problem> {
    let Some(column) = columns.iter().find(|column| record.get(column).is_some()) else { return Ok(None) };
    match record.flag(column) {
        Some(said) => Ok(Some(said)),
        None => Err(format!(
            "{column} is neither true nor false; write it so, or leave it empty (in use, and not the current one)"
        )),
    }
}

/// Whether a column says yes, or has an instant.
fn is_set(record: &Record, column: &str) -> bool {
    record.get(column).is_some() && record.flag(column) != Some(false)
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
