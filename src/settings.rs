//! The configuration: a flag wins over the environment, the environment over the file, the file over the default.
//!
//! [`RawSettings`] is what was given, one section a file, with the origin of each value. [`RawSettings::check`] turns it
//! into [`Settings`], which the program works with: every number within its bounds, every duration a duration, every URL
//! parsed. Nothing changes a value silently, neither here nor behind it; a value that breaks a rule is a [`Problem`] that
//! names the key, and all problems are reported at once. An unknown key is a problem, too.
//!
//! The file is TOML or YAML. Every single value can be given in the environment as `CREDVAULT__SECTION__KEY`, lists in the
//! file or item by item with flags; secrets ([`SECRETS`]) also as the path of a file that holds them,
//! `CREDVAULT__SECTION__KEY_FILE`. Relative paths begin at the configuration file's folder, or else
//! at the working directory.

mod server;

mod audit;
mod erasure;
mod keys;
mod limits;
mod root_key;
mod secret_stores;
mod store;
mod store_url;

mod broker;
mod catalog;
mod identity;
mod pages;
mod public;
mod telemetry;

mod file;
mod form;
mod origin;
mod problem;
mod raw;
mod read;
mod show;
mod value;

pub use audit::{Audit, AuditSection, WitnessSection};
pub use broker::{Broker, BrokerSection};
pub use catalog::CatalogSection;
pub use erasure::ErasureSection;
pub(crate) use file::wrong_toml;
pub use identity::{Identity, IdentitySection, IssuerKindSetting, IssuerSection};
pub use keys::{Keys, KeysSection};
pub use limits::{Limits, LimitsSection};
pub use origin::Origin;
use origin::Origins;
#[cfg(feature = "dev")]
pub(crate) use origin::first_variable_of;
pub use pages::{Pages, PagesSection};
pub(crate) use problem::Problems;
pub use problem::{Problem, SettingsError};
pub use public::{Public, PublicSection};
pub use raw::RawSettings;
pub use root_key::managers::{
    AwsKmsSection, GoogleKmsSection, LoginSection, ManagerSection, Pkcs11Section, TransitSection,
};
pub use root_key::{Kdf, RootKey, RootKeySection, RootKeys};
pub use secret_stores::{
    SecretPlace, SecretStoreKind, SecretStoreSection, SecretStoreSettings, Secrets, SecretsSection,
};
pub use server::{Server, ServerSection};
pub use show::Shown;
pub use store::{Store, StoreSection};
pub use telemetry::{LogFormat, LogLevel, Telemetry, TelemetrySection};
pub use value::SECRETS;

/// The configuration that the program works with. Every value keeps its rules.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses and the server's certificate.
    pub server: Server,
    /// How much is served at once.
    pub limits: Limits,
    /// The database, and how much each tenant may keep in it.
    pub store: Store,
    /// How checkpoints of audit logs are signed.
    pub audit: Audit,
    /// The sources of the root keys.
    pub root_keys: RootKeys,
    /// When tenant keys are rotated, and how.
    pub keys: Keys,
    /// Where secrets are kept beside the database.
    pub secrets: Secrets,
    /// Which authorities, policies and issuers of tokens the vault trusts.
    pub identity: Identity,
    /// Providers that the operator adds.
    pub catalog: CatalogSection,
    /// Calls to providers, and how tokens are kept fresh.
    pub broker: Broker,
    /// The port for browsers.
    pub public: Public,
    /// What people see at that port.
    pub pages: Pages,
    /// Destinations of logs and traces.
    pub telemetry: Telemetry,
    /// Where each value came from.
    origins: Origins,
}

impl RawSettings {
    /// Checks every setting.
    ///
    /// # Errors
    /// All problems: what could not be read, what is missing, and every value that breaks a rule. If the file cannot be
    /// read, only what could not be read.
    pub fn check(&self) -> Result<Settings, SettingsError> {
        let (settings, problems) = self.inspect()?;
        problems.into_result().map(|()| settings)
    }

    /// Checks the section of the database alone, which is all that a migration needs.
    ///
    /// # Errors
    /// All problems of that section, and what could not be read.
    pub fn check_store(&self) -> Result<Store, SettingsError> {
        self.check_file()?;
        let mut problems = self.problems.clone();
        let store = self.store.check(&mut problems);
        problems.into_result().map(|()| store)
    }

    /// Checks the sections of the database and of the root keys, which is all that a backup needs.
    ///
    /// # Errors
    /// All problems of these sections, and what could not be read.
    pub fn check_store_and_root_keys(&self) -> Result<(Store, RootKeys, Keys), SettingsError> {
        self.check_file()?;
        let mut problems = self.problems.clone();
        let store = self.store.check(&mut problems);
        let (root_keys, keys) = self.root_keys(&mut problems);
        problems.into_result().map(|()| (store, root_keys, keys))
    }

    /// Checks the sections of the root keys alone, which is all that it takes to verify a backup.
    ///
    /// # Errors
    /// All problems of these sections, and what could not be read.
    pub fn check_root_keys(&self) -> Result<(RootKeys, Keys), SettingsError> {
        self.check_file()?;
        let mut problems = self.problems.clone();
        let root_keys = self.root_keys(&mut problems);
        problems.into_result().map(|()| root_keys)
    }

    /// The root keys, and how tenant keys are kept under them.
    fn root_keys(&self, problems: &mut Problems) -> (RootKeys, Keys) {
        let other = Some(&self.other_root_key).filter(|other| other.is_given());
        let root_keys = RootKeys {
            main: self.root_key.check("root_key", problems),
            other: other.map(|other| other.check("other_root_key", problems)),
        };
        (root_keys, self.keys.check(problems))
    }

    /// Checks every setting. If there are problems, the settings hold stand-ins for what is wrong: with them, further
    /// problems can be looked for, and nothing else.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn inspect(&self) -> Result<(Settings, Problems), SettingsError> {
        self.check_file()?;
        let mut problems = self.problems.clone();
        let mut store = self.store.check(&mut problems);
        store.database.backup_retention_days = self.erasure.check(&mut problems);
        let broker = self.broker.check(&mut problems);
        let audit = self.audit.check(&broker.guard, &mut store.database, &mut problems);
        let (root_keys, keys) = self.root_keys(&mut problems);
        let settings = Settings {
            server: self.server.check(&mut problems),
            limits: self.limits.check(&mut problems),
            store,
            audit,
            root_keys,
            keys,
            secrets: self.secrets.check(&mut problems),
            identity: self.identity.check(&mut problems),
            catalog: self.catalog.clone(),
            broker,
            public: self.public.check(&mut problems),
            pages: self.pages.check(&mut problems),
            telemetry: self.telemetry.check(&mut problems),
            origins: self.problems.origins().clone(),
        };
        Ok((settings, problems))
    }

    /// Refuses a file that cannot be read: without it, each setting in it seems to be missing.
    fn check_file(&self) -> Result<(), SettingsError> {
        if self.problems.lack_the_file() { self.check_reading() } else { Ok(()) }
    }
}

impl Settings {
    /// No problems yet; those that are added get the origins of these settings.
    pub(crate) fn problems(&self) -> Problems {
        Problems::new(self.origins.clone(), serde_json::Value::Null)
    }

    /// Whether the file that these came from still holds what was read.
    pub(crate) fn file_is_unchanged(&self) -> bool {
        self.origins.file_is_unchanged()
    }
}

#[cfg(test)]
mod tests;
