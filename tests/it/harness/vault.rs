//! A test's vault: its server, its clients, its clock, and its database with all rights.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use credvault::Instance;
use credvault::settings::RawSettings;
use credvault_crypto::SystemRandom;
use credvault_proto::v1;
use credvault_testkit::{Authority, Leaf, ManualClock, PostgresDatabase};
use sea_orm::{
    ConnectionTrait as _, Database, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait as _,
};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::builder::DOMAIN;
use super::client::{Client, TestError};
use super::get;

/// A vault with its folder, clock and database.
pub struct TestVault {
    /// The running server; `None` before the start and after the stop.
    pub instance: Option<Instance>,
    pub authority: Authority,
    pub clock: ManualClock,
    pub settings: RawSettings,
    pub folder: TempDir,
    pub database: Option<PostgresDatabase>,
}

impl TestVault {
    pub async fn start(&mut self) {
        let clock = Arc::new(self.clock.clone());
        let started = Instance::start(self.settings.check().unwrap(), clock, Arc::new(SystemRandom)).await;
        self.instance = Some(started.unwrap());
    }

    pub async fn stop(&mut self) {
        self.instance.take().unwrap().stop().await;
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.instance.as_ref().unwrap().address
    }

    /// A client of a service, without a tenant.
    pub async fn client(&self, service: &str) -> Client {
        self.client_with(&self.authority.service(&format!("spiffe://{DOMAIN}/{service}"))).await.unwrap()
    }

    pub async fn client_with(&self, leaf: &Leaf) -> Result<Client, TestError> {
        Client::connect(self.address(), self.authority.pem(), Some(leaf)).await
    }

    /// The app, acting for a tenant that exists from now on.
    pub async fn app(&self, tenant: &str) -> Client {
        self.tenant(tenant).await;
        self.client("app").await.acting_for(tenant, None)
    }

    pub async fn tenant(&self, id: &str) {
        let request = v1::CreateTenantRequest { tenant_id: id.to_owned(), ..Default::default() };
        match self.client("operator").await.admin().create_tenant(request).await {
            Err(status) if status.code() != tonic::Code::AlreadyExists => panic!("{status:?}"),
            _ => {}
        }
    }

    /// Writes a file into the vault's folder, whole or not at all.
    pub fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text);
    }

    pub fn write_leaf(&self, name: &str, leaf: &Leaf) {
        write_leaf(self.folder.path(), name, leaf);
    }

    /// A connection to the database with all rights.
    async fn admin_connection(&self) -> DatabaseConnection {
        let url = match &self.database {
            Some(database) => format!("{}?options=-csearch_path%3Dcredvault", database.migrate_url),
            None => self.settings.store.url.expose_secret().to_owned(),
        };
        Database::connect(url).await.unwrap()
    }

    /// How many records of the platform's log are of an action and ended so: without a reason, or with this one.
    pub async fn platform_records(&self, action: &str, reason: &str) -> usize {
        let events = self.client("operator").await.events().await;
        events.iter().filter(|event| event.action == action && event.reason == reason).count()
    }

    /// The number of rows in a table.
    pub async fn count(&self, table: &str) -> i64 {
        let db = self.admin_connection().await;
        let sql = format!("SELECT count(*) AS count FROM {table}");
        let row =
            db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap().unwrap();
        let count = row.try_get("", "count").unwrap();
        db.close().await.unwrap();
        count
    }

    /// Whether a text stands anywhere in a table; on SQLite, anywhere in the database's files.
    pub async fn holds(&self, table: &str, text: &str) -> bool {
        match &self.database {
            None => self.found_in(text).await.is_some(),
            Some(_) => self.count(&format!("{table} t WHERE {}", has(text))).await > 0,
        }
    }

    /// The first table, or file of SQLite, that contains a text.
    pub async fn found_in(&self, text: &str) -> Option<String> {
        let Some(database) = &self.database else {
            let files = ["vault.db", "vault.db-wal"].map(|name| self.folder.path().join(name));
            let bytes = files.map(|file| std::fs::read(file).unwrap_or_default()).concat();
            let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            return found.then(|| "vault.db".to_owned());
        };
        let tables = database.psql("SELECT tablename FROM pg_tables WHERE schemaname = 'credvault'");
        let each = tables.lines().map(|table| {
            format!("(SELECT '{table}' WHERE EXISTS (SELECT FROM credvault.{table} t WHERE {}))", has(text))
        });
        let found = database.psql(&each.collect::<Vec<_>>().join(" UNION ALL "));
        found.lines().next().map(str::to_owned)
    }

    /// A transaction with a statement in it that is in the vault's way until it is rolled back.
    pub async fn blocking(&self, sql: &str) -> DatabaseTransaction {
        let tx = self.admin_connection().await.begin().await.unwrap();
        tx.execute_unprepared(sql).await.unwrap();
        tx
    }

    pub async fn sql(&self, sql: &str) {
        let db = self.admin_connection().await;
        db.execute_unprepared(sql).await.unwrap();
        db.close().await.unwrap();
    }

    /// The metrics as the operators' port shows them.
    pub async fn metrics(&self) -> String {
        get(self.instance.as_ref().unwrap().admin_address, "/metrics").await.1
    }
}

/// The condition that a row `t` contains a text, as such or in bytes.
fn has(text: &str) -> String {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("(t::text LIKE '%{text}%' OR t::text LIKE '%{hex}%')")
}

pub fn write(folder: &Path, name: &str, text: &str) {
    let unfinished = folder.join(format!("{name}.unfinished"));
    std::fs::create_dir_all(unfinished.parent().unwrap()).unwrap();
    std::fs::write(&unfinished, text).unwrap();
    std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&unfinished, folder.join(name)).unwrap();
}

pub(super) fn write_leaf(folder: &Path, name: &str, leaf: &Leaf) {
    write(folder, &format!("{name}.key"), &leaf.key);
    write(folder, &format!("{name}.pem"), &leaf.certificate);
}
