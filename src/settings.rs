//! The configuration: a flag wins over the environment, the environment over the file, the file over the default.
//!
//! [`RawSettings`] is what was given, one section a file, with the origin of each value. [`RawSettings::check`] turns it
//! into [`Settings`], which the program works with: every number within its bounds, every duration a duration, every URL
//! parsed. Nothing behind it changes a value silently; a value that breaks a rule is a [`Problem`] that names the key, and
//! all problems are reported at once. An unknown key is a problem, too.
//!
//! The file is TOML or YAML. Every single value can be given in the environment as `CREDVAULT__SECTION__KEY` (tables and
//! lists, `identity.trust_domains`, `.policies` and `.issuers`, in the file only); secrets ([`SECRETS`]) also as the path of
//! a file that holds them, `CREDVAULT__SECTION__KEY_FILE`. Relative paths begin at the configuration file's folder, or else
//! at the working directory.

mod server;

mod limits;
mod root_key;
mod store;
mod store_url;

mod broker;
mod catalog;
mod identity;
mod public;
mod telemetry;

mod file;
mod origin;
mod problem;
mod read;
mod show;
mod value;

use std::path::Path;

use credvault_crypto::RootKeySource;
use serde::Serialize;

pub use broker::{Broker, BrokerSection};
pub use catalog::CatalogSection;
pub(crate) use file::wrong_toml;
pub use identity::{Identity, IdentitySection, IssuerKindSetting, IssuerSection};
pub use limits::{CallRate, Limits, LimitsSection};
pub use origin::Origin;
use origin::Origins;
pub(crate) use problem::Problems;
pub use problem::{Problem, SettingsError};
pub use public::{Public, PublicSection};
pub use root_key::{Kdf, RootKeySection};
pub use server::{Server, ServerSection};
pub use show::Shown;
pub use store::{Store, StoreSection};
pub use telemetry::{LogFormat, LogLevel, Telemetry, TelemetrySection};

/// The keys whose values are secret.
pub const SECRETS: [&str; 3] = ["store.url", "store.migrate_url", "root_key.passphrase"];

const HOUR_SECONDS: u64 = 3600;
const DAY_SECONDS: u64 = 24 * HOUR_SECONDS;
const YEAR_SECONDS: u64 = 365 * DAY_SECONDS;

/// The configuration as it was given, with defaults for what was left out.
#[derive(Serialize, Clone, Default, Debug)]
pub struct RawSettings {
    /// Addresses and the server's certificate.
    pub server: ServerSection,
    /// How much is served at once.
    pub limits: LimitsSection,
    /// The database, and how much each tenant may keep in it.
    pub store: StoreSection,
    /// The source of the root key.
    pub root_key: RootKeySection,
    /// Which authorities, policies and issuers of tokens the vault trusts.
    pub identity: IdentitySection,
    /// Providers that the operator adds.
    pub catalog: CatalogSection,
    /// Calls to providers, and how tokens are kept fresh.
    pub broker: BrokerSection,
    /// The port for browsers.
    pub public: PublicSection,
    /// Logs and traces.
    pub telemetry: TelemetrySection,
    /// Where each value came from, and what could not be read.
    #[serde(skip)]
    problems: Problems,
}

/// The configuration that the program works with. Every value keeps its rules.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses and the server's certificate.
    pub server: Server,
    /// How much is served at once.
    pub limits: Limits,
    /// The database, and how much each tenant may keep in it.
    pub store: Store,
    /// The source of the root key.
    pub root_key: RootKeySource,
    /// Which authorities, policies and issuers of tokens the vault trusts.
    pub identity: Identity,
    /// Providers that the operator adds.
    pub catalog: CatalogSection,
    /// Calls to providers, and how tokens are kept fresh.
    pub broker: Broker,
    /// The port for browsers.
    pub public: Public,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// Where each value came from.
    origins: Origins,
}

impl RawSettings {
    /// Reads all sources. `variables` is the environment, `overrides` are the pairs of `--set`. What cannot be read is
    /// kept for [`Self::check`] to report.
    pub fn read(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        overrides: &[(String, String)],
    ) -> Self {
        read::read(file, variables, overrides)
    }

    /// Refuses what could not be read: a broken file, an unknown key, a value of the wrong type.
    ///
    /// # Errors
    /// All that could not be read.
    pub fn check_reading(&self) -> Result<(), SettingsError> {
        self.problems.clone().into_result()
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// All problems: what could not be read, what is missing, and every value that breaks a rule.
    pub fn check(&self) -> Result<Settings, SettingsError> {
        let (settings, problems) = self.inspect();
        problems.into_result().map(|()| settings)
    }

    /// Checks every setting. If there are problems, the settings hold stand-ins for what is wrong: with them, further
    /// problems can be looked for, and nothing else.
    pub(crate) fn inspect(&self) -> (Settings, Problems) {
        let mut problems = self.problems.clone();
        let settings = Settings {
            server: self.server.check(&mut problems),
            limits: self.limits.check(&mut problems),
            store: self.store.check(&mut problems),
            root_key: self.root_key.check(&mut problems),
            identity: self.identity.check(&mut problems),
            catalog: self.catalog.clone(),
            broker: self.broker.check(&mut problems),
            public: self.public.check(&mut problems),
            telemetry: self.telemetry.check(&mut problems),
            origins: self.problems.origins().clone(),
        };
        // Without the file, each setting in it seems to be missing.
        if self.problems.lack_the_file() { (settings, self.problems.clone()) } else { (settings, problems) }
    }

    /// Makes relative paths begin at `base`.
    fn resolve(&mut self, base: &Path) {
        self.server.resolve(base);
        self.store.resolve(base);
        self.root_key.resolve(base);
        self.identity.resolve(base);
        self.catalog.resolve(base);
    }
}

impl Settings {
    /// No problems yet; those that are added get the origins of these settings.
    pub(crate) fn problems(&self) -> Problems {
        Problems::new(self.origins.clone())
    }

    /// Whether the file that these came from still holds what was read.
    pub(crate) fn file_is_unchanged(&self) -> bool {
        self.origins.file_is_unchanged()
    }
}

#[cfg(test)]
mod tests;
