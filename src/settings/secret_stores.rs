//! `secrets`: where the secrets of connections are kept beside the database, and which secrets of others tenants may refer
//! to. Each store is a section, `secrets.stores.NAME`, whose kind says which of its keys are of use.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use credvault_domain::AdoptRules;
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::root_key::managers::LoginSection;
use super::value::{DAY_SECONDS, optional_word, resolve};

/// What `secrets.store` says if it names no store.
pub(super) const DATABASE: &str = "database";
/// What a store may be called: the name stands in the database and in settings.
pub(super) const NAME_RULE: &str =
    "a store's name must be 1 to 40 characters of a-z 0-9 _, beginning with a letter, and not database";

/// `secrets` as it was given.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct SecretsSection {
    /// Where new secrets of tenants are kept that have chosen no place: `database`, or the name of a store.
    pub store: String,
    /// How long a sealed payload of a store serves without asking the store again.
    pub cache_seconds: u64,
    /// How long a secret of others serves without asking the store again.
    pub adopted_cache_seconds: u64,
    /// How long a store keeps a payload that nothing in the database refers to any more: as long as backups are kept.
    pub keep_removed_seconds: u64,
    /// The stores by their names.
    pub stores: BTreeMap<String, SecretStoreSection>,
}

impl Default for SecretsSection {
    fn default() -> Self {
        Self {
            store: DATABASE.to_owned(),
            cache_seconds: 3600,
            adopted_cache_seconds: 60,
            keep_removed_seconds: 35 * DAY_SECONDS,
            stores: BTreeMap::new(),
        }
    }
}

/// One of `secrets.stores` as it was given.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct SecretStoreSection {
    /// The kind of store.
    #[serde(deserialize_with = "optional_word")]
    pub kind: Option<SecretStoreKind>,
    /// Which secrets of others tenants may refer to, such as `customers/{tenant}/*`.
    pub adopt: Vec<String>,
    /// How long a call waits for the store.
    pub timeout_ms: u64,
    /// How many calls the vault makes to the store at once.
    pub calls_at_once: u32,
    /// What the names of the vault's own secrets begin with.
    pub prefix: Option<String>,
    /// Of OpenBao: the server's address.
    pub address: Option<String>,
    /// Of OpenBao: the namespace.
    pub namespace: Option<String>,
    /// Of OpenBao: the authorities that its certificate may be from, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Of OpenBao: where the engine `kv` is mounted.
    pub mount: Option<String>,
    /// Of OpenBao: how the vault logs in.
    pub login: Option<LoginSection>,
    /// Of AWS: the region.
    pub region: Option<String>,
    /// Of AWS: a profile of AWS's files.
    pub profile: Option<String>,
    /// Of AWS: a file in the format of `~/.aws/credentials`.
    pub credentials_file: Option<PathBuf>,
    /// Of Google: the id of the project.
    pub project: Option<String>,
    /// Of Google: the regions that new secrets are kept in.
    pub locations: Vec<String>,
    /// Of Google: a private file with a service account's key in JSON.
    pub service_account: Option<PathBuf>,
    /// Of AWS and Google: another endpoint than their own.
    pub endpoint: Option<String>,
}

impl Default for SecretStoreSection {
    fn default() -> Self {
        Self {
            kind: None,
            adopt: Vec::new(),
            timeout_ms: 5000,
            calls_at_once: 32,
            prefix: None,
            address: None,
            namespace: None,
            ca_file: None,
            mount: None,
            login: None,
            region: None,
            profile: None,
            credentials_file: None,
            project: None,
            locations: Vec::new(),
            service_account: None,
            endpoint: None,
        }
    }
}

/// The kinds of stores of secrets.
#[derive(ValueEnum, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum SecretStoreKind {
    /// The engine `kv`, version 2, of OpenBao or Vault.
    #[serde(rename = "openbao")]
    #[value(name = "openbao")]
    OpenBao,
    /// Secrets Manager, the service of AWS.
    AwsSecretsManager,
    /// Secret Manager, the service of Google Cloud.
    GoogleSecretManager,
}

/// Where secrets are kept beside the database.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The store of tenants that have chosen none; `None` is the database.
    pub default: Option<String>,
    /// How long a sealed payload serves without its store.
    pub cache: Duration,
    /// How long what was read of a secret of others counts.
    pub adopted_cache: Duration,
    /// How long a payload is kept that nothing refers to any more.
    pub keep_removed: Duration,
    /// The stores by their names.
    pub stores: BTreeMap<String, SecretStoreSettings>,
}

/// A store of secrets, and how it is called.
#[derive(Clone, Debug)]
pub struct SecretStoreSettings {
    /// Where the store is, and how the vault logs in.
    pub place: SecretPlace,
    /// Which secrets of others tenants may refer to.
    pub adopt: AdoptRules,
    /// How long a call waits for it.
    pub timeout: Duration,
    /// How many calls are made at once.
    pub calls_at_once: NonZeroUsize,
}

/// Where a store of secrets is, and how the vault logs in there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretPlace {
    /// The engine `kv` of OpenBao or Vault.
    OpenBao {
        /// The address of the server.
        address: String,
        /// The namespace, if the server has namespaces.
        namespace: Option<String>,
        /// The authorities that its certificate may be from.
        ca_file: Option<PathBuf>,
        /// Where the engine is mounted.
        mount: String,
        /// The folder for what the vault keeps.
        prefix: String,
        /// How the vault logs in.
        login: LoginSection,
    },
    /// Secrets Manager, the service of AWS.
    Aws {
        /// What the names of the vault's secrets begin with.
        prefix: String,
        /// The region, if it is not that of AWS's usual chain.
        region: Option<String>,
        /// Another endpoint than the public one.
        endpoint: Option<String>,
        /// A profile of AWS's files.
        profile: Option<String>,
        /// A file in the format of `~/.aws/credentials`.
        credentials_file: Option<PathBuf>,
    },
    /// Secret Manager, the service of Google Cloud.
    Google {
        /// The id of the project.
        project: String,
        /// What the names of the vault's secrets begin with.
        prefix: String,
        /// The regions that new secrets are kept in.
        locations: Vec<String>,
        /// Another endpoint than the public one.
        endpoint: Option<String>,
        /// A private file with a service account's key.
        service_account: Option<PathBuf>,
    },
}

impl SecretPlace {
    /// The kind of store, as settings name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OpenBao { .. } => "openbao",
            Self::Aws { .. } => "aws_secrets_manager",
            Self::Google { .. } => "google_secret_manager",
        }
    }

    /// The server or account, as far as the settings say, and what the names of all that the vault keeps there begin with.
    fn names(&self) -> ([Option<&str>; 4], String) {
        match self {
            Self::OpenBao { address, namespace, mount, prefix, .. } => {
                let address = address.trim_end_matches('/');
                ([Some(address), namespace.as_deref(), Some(mount.as_str()), None], format!("{prefix}/"))
            }
            Self::Aws { prefix, region, endpoint, profile, credentials_file } => {
                let file = credentials_file.as_deref().and_then(Path::to_str);
                ([region.as_deref(), endpoint.as_deref(), profile.as_deref(), file], prefix.clone())
            }
            Self::Google { project, prefix, endpoint, .. } => {
                ([Some(project.as_str()), endpoint.as_deref(), None, None], prefix.clone())
            }
        }
    }

    /// Whether one of two places is the other, or within it.
    fn meets(&self, other: &Self) -> bool {
        let ((server, names), (of_other, other_names)) = (self.names(), other.names());
        let is_nested = names.starts_with(&other_names) || other_names.starts_with(&names);
        self.kind() == other.kind() && server == of_other && is_nested
    }
}

impl SecretsSection {
    pub(super) fn resolve(&mut self, base: &Path) {
        for store in self.stores.values_mut() {
            let files = [&mut store.ca_file, &mut store.credentials_file, &mut store.service_account];
            files.into_iter().flatten().for_each(|path| resolve(path, base));
            store.login.iter_mut().for_each(|login| login.resolve(base));
        }
    }

    pub(super) fn check(&self, problems: &mut Problems) -> Secrets {
        let default = Some(self.store.clone()).filter(|store| store != DATABASE);
        if default.as_ref().is_some_and(|store| !self.stores.contains_key(store)) {
            problems.refuse("secrets.store", "must be database, or the name of one of secrets.stores");
        }
        let cache = problems.seconds("secrets.cache_seconds", self.cache_seconds, 1..=30 * DAY_SECONDS);
        let adopted = self.adopted_cache_seconds;
        let adopted_cache = problems.seconds("secrets.adopted_cache_seconds", adopted, 1..=DAY_SECONDS);
        let kept = self.keep_removed_seconds;
        let keep_removed =
            problems.seconds("secrets.keep_removed_seconds", kept, 3600..=10 * 366 * DAY_SECONDS);
        let checked = |(name, store): (&String, &SecretStoreSection)| {
            let section = format!("secrets.stores.{name}");
            Some((name.clone(), store.check(&section, problems)?))
        };
        let stores: BTreeMap<_, _> = self.stores.iter().filter_map(checked).collect();
        refuse_shared_places(&stores, problems);
        Secrets { default, cache, adopted_cache, keep_removed, stores }
    }
}

impl SecretStoreSection {
    /// The store; `None` if its place is a problem.
    fn check(&self, section: &str, problems: &mut Problems) -> Option<SecretStoreSettings> {
        let mut adopt = AdoptRules::default();
        for (index, pattern) in self.adopt.iter().enumerate() {
            problems.take(&format!("{section}.adopt[{index}]"), adopt.add(pattern));
        }
        let timeout = problems.milliseconds(&format!("{section}.timeout_ms"), self.timeout_ms, 1..=60_000);
        let calls = problems.number(&format!("{section}.calls_at_once"), self.calls_at_once, 1..=1000);
        let calls_at_once = usize::try_from(calls).ok().and_then(NonZeroUsize::new)?;
        let Some(kind) = self.kind else {
            let kinds = "must be openbao, aws_secrets_manager or google_secret_manager";
            problems.refuse(&format!("{section}.kind"), kinds);
            return None;
        };
        self.refuse_keys_of_other_kinds(section, kind, problems);
        let place = match kind {
            SecretStoreKind::OpenBao => self.openbao(section, problems)?,
            SecretStoreKind::AwsSecretsManager => self.aws(),
            SecretStoreKind::GoogleSecretManager => self.google(section, problems)?,
        };
        Some(SecretStoreSettings { place, adopt, timeout, calls_at_once })
    }

    fn openbao(&self, section: &str, problems: &mut Problems) -> Option<SecretPlace> {
        let address = required(section, "address", self.address.as_ref(), problems);
        let login = required(section, "login", self.login.as_ref(), problems);
        Some(SecretPlace::OpenBao {
            address: address?,
            namespace: self.namespace.clone(),
            ca_file: self.ca_file.clone(),
            mount: self.mount.clone().unwrap_or_else(|| "secret".to_owned()),
            prefix: self.prefix.clone().unwrap_or_else(|| "credvault".to_owned()),
            login: login?,
        })
    }

    fn aws(&self) -> SecretPlace {
        SecretPlace::Aws {
            prefix: self.prefix.clone().unwrap_or_else(|| "credvault/".to_owned()),
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            profile: self.profile.clone(),
            credentials_file: self.credentials_file.clone(),
        }
    }

    fn google(&self, section: &str, problems: &mut Problems) -> Option<SecretPlace> {
        Some(SecretPlace::Google {
            project: required(section, "project", self.project.as_ref(), problems)?,
            prefix: self.prefix.clone().unwrap_or_else(|| "credvault-".to_owned()),
            locations: self.locations.clone(),
            endpoint: self.endpoint.clone(),
            service_account: self.service_account.clone(),
        })
    }

    /// Refuses what another kind of store takes: it would have no effect here.
    fn refuse_keys_of_other_kinds(&self, section: &str, kind: SecretStoreKind, problems: &mut Problems) {
        use SecretStoreKind::{AwsSecretsManager as Aws, GoogleSecretManager as Google, OpenBao};
        let keys: [(&str, bool, &[SecretStoreKind]); 12] = [
            ("address", self.address.is_some(), &[OpenBao]),
            ("namespace", self.namespace.is_some(), &[OpenBao]),
            ("ca_file", self.ca_file.is_some(), &[OpenBao]),
            ("mount", self.mount.is_some(), &[OpenBao]),
            ("login", self.login.is_some(), &[OpenBao]),
            ("region", self.region.is_some(), &[Aws]),
            ("profile", self.profile.is_some(), &[Aws]),
            ("credentials_file", self.credentials_file.is_some(), &[Aws]),
            ("project", self.project.is_some(), &[Google]),
            ("locations", !self.locations.is_empty(), &[Google]),
            ("service_account", self.service_account.is_some(), &[Google]),
            ("endpoint", self.endpoint.is_some(), &[Aws, Google]),
        ];
        for (key, is_given, kinds) in keys {
            if is_given && !kinds.contains(&kind) {
                problems
                    .refuse(&format!("{section}.{key}"), "is of no use for this kind of store; leave it out");
            }
        }
    }
}

/// Refuses two stores in one place: to each, what the other keeps would be unknown.
fn refuse_shared_places(stores: &BTreeMap<String, SecretStoreSettings>, problems: &mut Problems) {
    for (name, store) in stores {
        let mut earlier = stores.iter().take_while(|(other, _)| *other < name);
        if let Some((other, _)) = earlier.find(|(_, other)| store.place.meets(&other.place)) {
            let rule = format!(
                "must not be that of secrets.stores.{other}, or within it; a renamed store keeps its old name here"
            );
            problems.refuse(&format!("secrets.stores.{name}.prefix"), rule);
        }
    }
}

/// What a kind of store cannot do without.
fn required<T: Clone>(section: &str, key: &str, value: Option<&T>, problems: &mut Problems) -> Option<T> {
    if value.is_none() {
        problems.refuse(&format!("{section}.{key}"), "must be given for this kind of store");
    }
    value.cloned()
}

/// Whether a store may be called so.
pub(super) fn is_name(text: &str) -> bool {
    let in_alphabet = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins_well = text.starts_with(|first: char| first.is_ascii_lowercase());
    begins_well && text.len() <= 40 && text.bytes().all(in_alphabet) && text != DATABASE
}
