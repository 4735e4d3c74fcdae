//! The builder of a test's vault: certificates, policies, configuration file, migrated database, and then the server.

use std::path::Path;
use std::time::Duration;

use credvault::settings::RawSettings;
use credvault_crypto::SystemRandom;
use credvault_testkit::{Authority, LeafSpec, ManualClock, Postgres, PostgresDatabase};
use tempfile::TempDir;

use super::TestVault;
use super::vault::{write, write_leaf};

/// The trust domain of all tests.
pub const DOMAIN: &str = "test.local";

/// The Cedar policies of every vault: what each service may do.
pub const POLICIES: &str = include_str!("policies.cedar");

enum Database {
    Sqlite,
    Postgres,
    #[allow(dead_code, reason = "benchmarks start a server of their own")]
    Given(PostgresDatabase),
}

type ChangeSettings = Box<dyn FnOnce(&mut RawSettings, &Path) + Send>;

/// A vault that has not started yet. It takes settings and files until [`VaultBuilder::start`].
pub struct VaultBuilder {
    database: Database,
    changes: Vec<ChangeSettings>,
    files: Vec<(String, String)>,
}

impl VaultBuilder {
    /// A vault on an embedded SQLite database.
    pub fn sqlite() -> Self {
        Self { database: Database::Sqlite, changes: Vec::new(), files: Vec::new() }
    }

    /// A vault on a PostgreSQL database of its own.
    pub fn postgres() -> Self {
        Self { database: Database::Postgres, ..Self::sqlite() }
    }

    /// A vault on this PostgreSQL database.
    #[allow(dead_code, reason = "benchmarks start a server of their own")]
    pub fn on(database: PostgresDatabase) -> Self {
        Self { database: Database::Given(database), ..Self::sqlite() }
    }

    /// Changes settings before the server starts. The closure also gets the vault's folder.
    pub fn settings(mut self, change: impl FnOnce(&mut RawSettings, &Path) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Waits this long for the database where the default would give up sooner on a busy machine.
    pub fn store_timeouts(self, timeout: Duration) -> Self {
        let milliseconds = u64::try_from(timeout.as_millis()).unwrap();
        self.settings(move |settings, _| {
            settings.store.acquire_timeout_ms = milliseconds;
            settings.store.statement_timeout_ms = milliseconds;
            settings.store.audit_timeout_ms = milliseconds;
        })
    }

    /// Lets the vault call providers and receivers on this machine.
    pub fn allow_loopback(self) -> Self {
        self.settings(|settings, _| settings.broker.allowed_networks = vec!["127.0.0.0/8".into()])
    }

    /// Adds policies to those of [`POLICIES`].
    pub fn policies(self, more: &str) -> Self {
        self.file("policies.cedar", &format!("{POLICIES}\n{more}"))
    }

    /// Adds a provider file to the catalog.
    pub fn provider_file(self, id: &str, text: &str) -> Self {
        let in_folder = |settings: &mut RawSettings, folder: &Path| {
            settings.catalog.folder = Some(folder.join("catalog"));
        };
        self.file(&format!("catalog/{id}.toml"), text).settings(in_folder)
    }

    /// Writes a file into the vault's folder before the server starts.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Replaces a placeholder in all files that were added so far.
    pub(super) fn replace_in_files(mut self, placeholder: &str, text: &str) -> Self {
        for (_, content) in &mut self.files {
            *content = content.replace(placeholder, text);
        }
        self
    }

    /// Starts the server and waits for it.
    pub async fn start(self) -> TestVault {
        let mut vault = self.prepare().await;
        vault.start().await;
        vault
    }

    /// Makes everything but the server: for tests that start the program, or the server later.
    pub async fn prepare(self) -> TestVault {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A benchmark measures the vault, not what watches it.
        let is_watched = matches!(self.database, Database::Postgres);
        let database = match self.database {
            Database::Sqlite => None,
            Database::Postgres => Some(new_postgres_database().await),
            Database::Given(database) => Some(database),
        };
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("test authority");
        write_files(&folder, &authority, database.as_ref());
        for (name, text) in &self.files {
            write(folder.path(), name, text);
        }
        let mut settings = RawSettings::read(Some(&folder.path().join("credvault.toml")), [], &[]);
        migrate(&settings, database.as_ref()).await;
        if let Some(database) = database.as_ref().filter(|_| is_watched) {
            database.require_feed_rows();
        }
        for change in self.changes {
            change(&mut settings, folder.path());
        }
        TestVault { instance: None, authority, clock: ManualClock::at_present(), settings, folder, database }
    }
}

async fn new_postgres_database() -> PostgresDatabase {
    tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap()
}

fn write_files(folder: &TempDir, authority: &Authority, database: Option<&PostgresDatabase>) {
    let path = folder.path();
    let server =
        LeafSpec { names: vec!["localhost".into()], ..LeafSpec::service("spiffe://test.local/credvault") };
    write(path, "ca.pem", authority.pem());
    write_leaf(path, "server", &authority.issue(&server));
    write(path, "root.key", &format!("{}00", "5a".repeat(31)));
    write(path, "policies.cedar", POLICIES);
    write(path, "credvault.toml", &configuration(path, database));
}

fn configuration(folder: &Path, database: Option<&PostgresDatabase>) -> String {
    let store = match database {
        Some(PostgresDatabase { url, migrate_url, owner_role, .. }) => {
            format!("url = '{url}'\nowner_role = '{owner_role}'\nmigrate_url = '{migrate_url}'")
        }
        None => format!("url = 'sqlite://{}'\nowner_role = 'unused'", folder.join("vault.db").display()),
    };
    format!(
        "[server]\naddress = '127.0.0.1:0'\nadmin_address = '127.0.0.1:0'\ncertificate = 'server.pem'\n\
         key = 'server.key'\nreflection = true\nreload_seconds = 1\n\
         [store]\nmax_clock_skew_seconds = 0\n{store}\n\
         [root_key]\nfile = 'root.key'\n\
         [identity]\ntrust_domains = {{ '{DOMAIN}' = 'ca.pem' }}\npolicies = ['policies.cedar']\n"
    )
}

async fn migrate(settings: &RawSettings, database: Option<&PostgresDatabase>) {
    let owner = database.map_or("unused", |database| &database.owner_role);
    let store = settings.check().unwrap().store;
    let migrate_url = store.migrate_url.as_ref();
    credvault_store::migrate(&store.database, migrate_url, owner, &SystemRandom).await.unwrap();
}
