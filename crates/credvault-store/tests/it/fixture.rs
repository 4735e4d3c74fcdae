//! A store on a database of its own, of either kind.

mod database;
mod folder_store;
mod log;
mod values;

pub use folder_store::FolderStore;
pub use values::{
    beginner, bringer, by_provider, credential, event, new_connection, owned_by, permit, reaching,
    repeatable, scope, soon, write,
};

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use credvault_crypto::{RootKeySource, SystemRandom};
use credvault_domain::{Action, Connection, ConnectionId, TenantScope};
use credvault_store::{Selector, Store, StoreSettings};
use credvault_testkit::{ManualClock, Postgres, PostgresDatabase};

/// Runs each listed test, an `async fn(&Fixture)`, on SQLite and on PostgreSQL.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use $crate::fixture::Fixture;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(&Fixture::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$name(&Fixture::postgres().await).await;
            }
        }
    )*};
}

pub struct Fixture {
    pub store: Store,
    pub settings: StoreSettings,
    pub clock: ManualClock,
    pub folder: Arc<tempfile::TempDir>,
    pub postgres: Option<PostgresDatabase>,
}

impl Fixture {
    pub async fn sqlite() -> Self {
        Self::sqlite_with(|_| {}).await
    }

    pub async fn sqlite_with(adjust: impl FnOnce(&mut StoreSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("vault.db").display());
        let mut settings = StoreSettings::new(url.into());
        adjust(&mut settings);
        Self::open(folder, settings, None).await
    }

    pub async fn postgres() -> Self {
        Self::postgres_with(|_| {}).await
    }

    pub async fn postgres_with(adjust: impl FnOnce(&mut StoreSettings)) -> Self {
        let database = tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap();
        let mut settings = StoreSettings::new(database.url.clone().into());
        adjust(&mut settings);
        Self::open(tempfile::tempdir().unwrap(), settings, Some(database)).await
    }

    async fn open(
        folder: tempfile::TempDir,
        settings: StoreSettings,
        postgres: Option<PostgresDatabase>,
    ) -> Self {
        let clock = ManualClock::at_present();
        migrate(&settings, postgres.as_ref()).await;
        if let Some(postgres) = &postgres {
            postgres.require_feed_rows();
        }
        root_key(&folder, "01");
        let store = open_store(&settings, &folder, &clock).await.unwrap();
        Self { store, settings, clock, folder: Arc::new(folder), postgres }
    }

    /// The same database opened once more, as another process does, with other settings.
    pub async fn reopened(&self, adjust: impl FnOnce(&mut StoreSettings)) -> Self {
        let mut settings = self.settings.clone();
        adjust(&mut settings);
        settings.shares_file = true;
        let store = open_store(&settings, &self.folder, &self.clock).await.unwrap();
        let (folder, postgres) = (Arc::clone(&self.folder), self.postgres.clone());
        Self { store, settings, clock: self.clock.clone(), folder, postgres }
    }

    /// The same database and folder as another store uses them.
    pub fn seen_by(&self, store: &Store) -> Self {
        let (folder, postgres) = (Arc::clone(&self.folder), self.postgres.clone());
        Self {
            store: store.clone(),
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            folder,
            postgres,
        }
    }

    /// A tenant's scope; the tenant is created if need be.
    pub async fn tenant(&self, id: &str) -> TenantScope {
        let scope = scope(id, None);
        match self.store.tenants().create(&scope, "", &write(&scope, Action::CreateTenant)).await {
            Ok(_) | Err(credvault_store::Error::TenantExists(_)) => scope,
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn connection(&self, scope: &TenantScope, account: &str) -> Connection {
        let new = new_connection(account);
        let write = write(scope, Action::CreateConnection);
        self.store.connections().create(scope, &new, None, &write).await.unwrap().into_inner()
    }

    pub async fn put(&self, scope: &TenantScope, id: ConnectionId, value: &str) -> i64 {
        let write = write(scope, Action::PutCredential);
        self.store
            .credentials()
            .put(scope, id, &credential(value), None, &write)
            .await
            .unwrap()
            .into_inner()
            .version
    }

    /// The value that a fetch by id returns.
    pub async fn fetch(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
    ) -> Result<String, credvault_store::Error> {
        self.fetch_by(scope, Selector::Connection { id, version: None }).await
    }

    pub async fn fetch_by(
        &self,
        scope: &TenantScope,
        selector: Selector,
    ) -> Result<String, credvault_store::Error> {
        use credvault_domain::Clock as _;
        use secrecy::ExposeSecret as _;
        let fetched = self.store.credentials().fetch(scope, &selector).await?;
        let opened = self.store.credentials().open(&fetched, self.clock.now(), false).await?;
        Ok(opened.fields.get("token").unwrap().expose_secret().to_owned())
    }
}

pub async fn migrate(settings: &StoreSettings, postgres: Option<&PostgresDatabase>) {
    let migrate_url = postgres.map(|database| database.migrate_url.clone().into());
    let owner = postgres.map_or("unused", |database| &database.owner_role);
    credvault_store::migrate(settings, migrate_url.as_ref(), owner, &SystemRandom).await.unwrap();
}

/// Writes a root key that begins with a byte, repeated.
pub fn root_key(folder: &tempfile::TempDir, byte: &str) -> PathBuf {
    let path = folder.path().join(format!("root-{byte}.key"));
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(format!("{}ff", byte.repeat(31)).as_bytes()).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

pub async fn open_store(
    settings: &StoreSettings,
    folder: &tempfile::TempDir,
    clock: &ManualClock,
) -> Result<Store, credvault_store::OpenError> {
    let root = RootKeySource::File(folder.path().join("root-01.key"));
    Store::open(settings.clone(), &root.into(), Arc::new(clock.clone()), Arc::new(SystemRandom)).await
}
