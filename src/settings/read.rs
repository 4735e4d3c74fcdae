//! Reads flags, environment and file into sections, key by key, so that one wrong value does not hide the next. What is
//! wrong becomes a problem and the key keeps its default; [`RawSettings::check`] refuses the configuration then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, Map, Source as _, Value, ValueKind};
use credvault_crypto::read_private;
use credvault_domain::{is_key, rule_of};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::audit::{AuditSection, WitnessSection};
use super::file::ConfigFile;
use super::form;
use super::identity::{IdentitySection, IssuerSection};
use super::origin::{Origins, VARIABLES, key_of};
use super::problem::Problems;
use super::raw::RawSettings;
use super::secret_stores::{self, SecretStoreSection, SecretsSection};
use super::value::SECRETS;

impl RawSettings {
    /// Reads all sources. `variables` is the environment, `overrides` are the pairs of `--set`. What cannot be read is
    /// kept for [`Self::check`] to report.
    pub fn read(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        overrides: &[(String, String)],
    ) -> Self {
        read(file, variables, overrides)
    }
}

fn read(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    overrides: &[(String, String)],
) -> RawSettings {
    let Variables { texts: variables, unreadable } = Variables::of(variables);
    let file = file.map(ConfigFile::read).transpose();
    let flags = overrides.iter().map(|(key, _)| key.as_str());
    let known = file.as_ref().ok().cloned().flatten();
    let names = variables.keys().chain(&unreadable).map(String::as_str);
    let origins = Origins::new(flags, names, known.clone());
    let defaults = serde_json::to_value(RawSettings::default()).unwrap_or_default();
    let mut problems = Problems::new(origins, defaults);
    if let Err(text) = file {
        problems.refuse_file(text);
    }
    for name in &unreadable {
        let key = key_of(name).unwrap_or_default();
        let rule = format!("{name} holds text that is not UTF-8; set it anew, or unset it");
        problems.refuse_as(&key, shown(&key), rule);
    }
    let variables = read_secret_files(variables, &mut problems);
    let mut values = merge(known.as_ref(), variables, overrides, &mut problems);
    let mut sections = Sections { values: &mut values, problems: &mut problems };
    let mut settings = RawSettings {
        server: sections.take("server"),
        limits: sections.take("limits"),
        store: sections.take("store"),
        erasure: sections.take("erasure"),
        audit: sections.take_audit(),
        root_key: sections.take("root_key"),
        other_root_key: sections.take("other_root_key"),
        keys: sections.take("keys"),
        secrets: sections.take_secrets(),
        identity: sections.take_identity(),
        catalog: sections.take("catalog"),
        broker: sections.take("broker"),
        public: sections.take("public"),
        pages: sections.take("pages"),
        telemetry: sections.take("telemetry"),
        problems: Problems::default(),
    };
    let names = names_of(&settings);
    sorted(values).iter().for_each(|(name, _)| refuse_unknown("", name, &names, &mut problems));
    settings.resolve(problems.origins().folder());
    settings.problems = problems;
    settings
}

/// The variables whose names begin with [`VARIABLES`].
#[derive(Default)]
struct Variables {
    texts: HashMap<String, String>,
    /// The names of those whose value is not UTF-8.
    unreadable: Vec<String>,
}

impl Variables {
    fn of(all: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut variables = Self::default();
        for (name, value) in all {
            // A name that is not UTF-8 is no key of a setting, however it is spelled here.
            let name = name.to_string_lossy().into_owned();
            if !name.starts_with(VARIABLES) {
                continue;
            }
            match value.into_string() {
                Ok(text) => drop(variables.texts.insert(name, text)),
                Err(_) => variables.unreadable.push(name),
            }
        }
        variables.unreadable.sort();
        variables
    }
}

/// Replaces the `…_FILE` variables of secret keys by what their files hold.
fn read_secret_files(
    mut variables: HashMap<String, String>,
    problems: &mut Problems,
) -> HashMap<String, String> {
    for key in SECRETS {
        let name = format!("{VARIABLES}{}", key.replace('.', "__").to_uppercase());
        let Some(path) = variables.remove(&format!("{name}_FILE")).map(PathBuf::from) else { continue };
        if variables.contains_key(&name) {
            problems.refuse(key, format!("{name} and {name}_FILE are both set; keep one of them"));
            continue;
        }
        let text = read_private(&path).map_err(|error| error.to_string());
        let text =
            text.and_then(|text| String::from_utf8(text.to_vec()).map_err(|_| "it is not UTF-8".to_owned()));
        let failed = |error| format!("{name}_FILE names {}, which cannot be read: {error}", path.display());
        if let Some(text) = problems.take(key, text.map_err(failed)) {
            variables.insert(name, text.trim_end_matches(['\r', '\n']).to_owned());
        }
    }
    variables
}

/// The values of all sources, the strongest first. A key that is no path of names is a problem and left out.
fn merge(
    file: Option<&ConfigFile>,
    variables: HashMap<String, String>,
    overrides: &[(String, String)],
    problems: &mut Problems,
) -> Map<String, Value> {
    let mut builder = Config::builder();
    if let Some(file) = file {
        builder = builder.add_source(file.source());
    }
    let environment = Environment::with_prefix("CREDVAULT").prefix_separator("__").separator("__");
    builder = builder.add_source(environment.source(Some(variables)));
    for (key, value) in overrides {
        match builder.clone().set_override(key, value.as_str()) {
            Ok(with) => builder = with,
            Err(_) => problems.refuse_as(key, shown(key), "is not the key of a setting"),
        }
    }
    let built = builder.build().and_then(|built| built.collect());
    problems.take("configuration", built.map_err(|error| rule(&error))).unwrap_or_default()
}

/// The sections that were not taken yet.
struct Sections<'a> {
    values: &'a mut Map<String, Value>,
    problems: &'a mut Problems,
}

impl Sections<'_> {
    /// Takes a section of the file.
    fn take<S: Serialize + DeserializeOwned + Default>(&mut self, name: &str) -> S {
        self.values.remove(name).map_or_else(S::default, |value| section(name, value, self.problems))
    }

    /// Takes the section `identity`, whose issuers are sections, too.
    fn take_identity(&mut self) -> IdentitySection {
        let mut issuers = Vec::new();
        if let Some(Value { kind: ValueKind::Table(table), .. }) = self.values.get_mut("identity")
            && let Some(Value { kind: ValueKind::Array(items), .. }) = table.get_mut("issuers")
        {
            let given = std::mem::take(items).into_iter().enumerate();
            let issuer = |(index, item)| {
                section::<IssuerSection>(&format!("identity.issuers[{index}]"), item, self.problems)
            };
            issuers = given.map(issuer).collect();
        }
        IdentitySection { issuers, ..self.take("identity") }
    }

    /// Takes the section `audit`, whose witnesses are sections, too.
    fn take_audit(&mut self) -> AuditSection {
        let mut witnesses = Vec::new();
        if let Some(Value { kind: ValueKind::Table(table), .. }) = self.values.get_mut("audit")
            && let Some(Value { kind: ValueKind::Array(items), .. }) = table.get_mut("witnesses")
        {
            let given = std::mem::take(items).into_iter().enumerate();
            let witness = |(index, item)| {
                section::<WitnessSection>(&format!("audit.witnesses[{index}]"), item, self.problems)
            };
            witnesses = given.map(witness).collect();
        }
        AuditSection { witnesses, ..self.take("audit") }
    }

    /// Takes the section `secrets`, whose stores are sections, too.
    fn take_secrets(&mut self) -> SecretsSection {
        let mut stores = BTreeMap::new();
        if let Some(Value { kind: ValueKind::Table(table), .. }) = self.values.get_mut("secrets")
            && let Some(Value { kind: ValueKind::Table(given), .. }) = table.get_mut("stores")
        {
            for (name, store) in sorted(std::mem::take(given)) {
                let key = format!("secrets.stores.{name}");
                if secret_stores::is_name(&name) {
                    stores.insert(name, section::<SecretStoreSection>(&key, store, self.problems));
                } else {
                    // A text that is no name may be anything, so it is not repeated.
                    self.problems.refuse_as(&key, "secrets.stores", secret_stores::NAME_RULE);
                }
            }
        }
        SecretsSection { stores, ..self.take("secrets") }
    }
}

/// A section out of a table: each key for itself, and then those that are sound.
fn section<S: Serialize + DeserializeOwned + Default>(
    name: &str,
    value: Value,
    problems: &mut Problems,
) -> S {
    let ValueKind::Table(given) = value.kind else {
        problems.refuse(name, "must be a table of settings");
        return S::default();
    };
    let defaults = serde_json::to_value(S::default()).unwrap_or_default();
    let names = names_of(&defaults);
    let table =
        |values: Map<String, Value>| Value::new(None, ValueKind::Table(values)).try_deserialize::<S>();
    let mut sound = Map::new();
    for (key, value) in sorted(given) {
        if !names.contains(&key) {
            refuse_unknown(name, &key, &names, problems);
            continue;
        }
        // What may be left out is left out where it is empty.
        if form::is_empty(&value.kind) && defaults.get(&key).is_some_and(serde_json::Value::is_null) {
            continue;
        }
        if let Err(rule) = form::check::<S>(&key, &value.kind) {
            problems.refuse(&format!("{name}.{key}"), rule);
            continue;
        }
        match table(Map::from_iter([(key.clone(), value.clone())])) {
            Ok(_) => drop(sound.insert(key, value)),
            Err(error) => problems.refuse(&format!("{name}.{key}"), rule(&error)),
        }
    }
    problems.take(name, table(sound).map_err(|error| rule(&error))).unwrap_or_default()
}

/// The keys of a section.
fn names_of(section: &impl Serialize) -> BTreeSet<String> {
    let value = serde_json::to_value(section).unwrap_or_default();
    value.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

/// Values in the order of their names, so that problems come in the same order each time.
fn sorted(values: Map<String, Value>) -> Vec<(String, Value)> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(|(one, _), (other, _)| one.cmp(other));
    values
}

/// Refuses a key that no section has. It is repeated only if it looks like a key: it may be a misplaced secret.
fn refuse_unknown(section: &str, key: &str, names: &BTreeSet<String>, problems: &mut Problems) {
    let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let path = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
    problems.refuse_as(&path, shown(&path), format!("unknown key, expected one of {names}"));
}

/// A key as messages show it.
fn shown(key: &str) -> &str {
    if is_key(key) { key } else { "a key" }
}

/// What is wrong with a value, without the value.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library may add errors")]
fn rule(error: &ConfigError) -> String {
    match error {
        ConfigError::At { error, .. } => rule(error),
        ConfigError::Type { expected, .. } => format!("must be {expected}"),
        ConfigError::Message(text) => rule_of(text),
        _ => "has a value that is not allowed".to_owned(),
    }
}
