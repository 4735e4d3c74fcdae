//! A vault of a test's own, and clients of it.
//!
//! `#[tokio::test]` bodies come in pairs from [`on_both`](crate::on_both). [`TestVault::client`] gives a client with a
//! certificate of that service; what each service may do stands in [`POLICIES`].

pub mod browser;
pub mod client;
mod process;
pub mod provider;
pub mod receiver;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use credvault::Instance;
use credvault::proto::v1;
use credvault::settings::RawSettings;
use credvault_crypto::SystemRandom;
use credvault_testkit::{Authority, Leaf, LeafSpec, ManualClock, Postgres, PostgresDatabase};
use sea_orm::{
    ConnectionTrait as _, Database, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait as _,
};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

pub use client::{Client, TestError, refusal};
pub use process::Process;

/// The trust domain of all tests.
pub const DOMAIN: &str = "test.local";

/// What each service may do.
pub const POLICIES: &str = r#"
// Everything for the tenants, whichever user.
@id("app")
permit (principal == Service::"spiffe://test.local/app", action in [
    Action::"VaultService", Action::"ConnectionService", Action::"AuditService",
    Action::"AssertTenant", Action::"AccessOtherUsers"
], resource);
// The same, but only for the user that it names.
@id("portal")
permit (principal == Service::"spiffe://test.local/portal", action in [
    Action::"VaultService", Action::"ConnectionService", Action::"AuditService", Action::"AssertTenant"
], resource);
// Only what a token vouches for.
@id("gateway")
permit (principal == Service::"spiffe://test.local/gateway", action in [
    Action::"VaultService", Action::"ConnectionService", Action::"AuditService"
], resource);
// Completes consents of another provider only.
@id("beginner")
permit (principal == Service::"spiffe://test.local/beginner", action in [Action::"AssertTenant", Action::"BeginAuthorization"], resource);
@id("beginner-completes-xero")
permit (principal == Service::"spiffe://test.local/beginner", action == Action::"CompleteAuthorization", resource)
when { context.provider == "xero" };
@id("reader")
permit (principal == Service::"spiffe://test.local/reader", action in [
    Action::"AssertTenant", Action::"ListConnections", Action::"GetConnection"
], resource);
@id("operator")
permit (principal == Service::"spiffe://test.local/operator", action in [
    Action::"AdminService", Action::"ActForPlatform", Action::"ConnectionService", Action::"AuditService",
    Action::"VaultService"
], resource);
// Administration of one tenant.
@id("acme-admin")
permit (principal == Service::"spiffe://test.local/acme-admin", action in Action::"AdminService", resource == Tenant::"acme");
// Narrow: one provider, with a purpose.
@id("sync")
permit (principal == Service::"spiffe://test.local/sync",
    action in [Action::"AssertTenant", Action::"FetchRefreshToken"], resource);
@id("sync-fetches-shopify")
permit (principal == Service::"spiffe://test.local/sync", action == Action::"FetchCredential", resource)
when { context.provider == "shopify" && context has purpose && context.purpose == "order sync" };
@id("never-for-frozen")
@advice("ask the security team")
forbid (principal, action in Action::"Fetching", resource == Tenant::"frozen");
"#;

/// Runs a test on both kinds of database.
#[macro_export]
macro_rules! on_both {
    ($(async fn $name:ident($vault:ident: $type:ty) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn body($vault: $type) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body(TestVault::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                body(TestVault::postgres().await).await;
            }
        }
    )*};
}

/// A running vault.
pub struct TestVault {
    pub instance: Option<Instance>,
    pub authority: Authority,
    pub clock: ManualClock,
    pub settings: RawSettings,
    pub folder: TempDir,
    pub database: Option<PostgresDatabase>,
}

impl TestVault {
    pub async fn sqlite() -> Self {
        Self::sqlite_with(|_, _| {}).await
    }

    pub async fn postgres() -> Self {
        let mut vault = Self::prepared(Some(postgres_database().await)).await;
        vault.start().await;
        vault
    }

    /// On SQLite, with settings changed before the start.
    pub async fn sqlite_with(change: impl FnOnce(&mut RawSettings, &Path)) -> Self {
        let mut vault = Self::prepared(None).await;
        change(&mut vault.settings, vault.folder.path());
        vault.start().await;
        vault
    }

    /// A migrated database, certificates, policies: everything but the server.
    pub async fn prepared(database: Option<PostgresDatabase>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("test authority");
        let path = folder.path();
        write(path, "ca.pem", authority.pem());
        let server = LeafSpec {
            names: vec!["localhost".into()],
            ..LeafSpec::service("spiffe://test.local/credvault")
        };
        write_leaf(path, "server", &authority.issue(&server));
        write(path, "root.key", &format!("{}00", "5a".repeat(31)));
        write(path, "policies.cedar", POLICIES);
        let url = match &database {
            Some(database) => database.url.clone(),
            None => format!("sqlite://{}", path.join("vault.db").display()),
        };
        let owner = database.as_ref().map_or("unused", |database| &database.owner_role);
        let migrate_url =
            database.as_ref().map(|database| format!("migrate_url = '{}'", database.migrate_url));
        let text = format!(
            "[server]\naddress = '127.0.0.1:0'\nadmin_address = '127.0.0.1:0'\ncertificate = 'server.pem'\n\
             key = 'server.key'\nreflection = true\nreload_seconds = 1\n\
             [store]\nmax_clock_skew_seconds = 0\nurl = '{url}'\nowner_role = '{owner}'\n{}\n\
             [root_key]\nfile = 'root.key'\n\
             [identity]\ntrust_domains = {{ '{DOMAIN}' = 'ca.pem' }}\npolicies = ['policies.cedar']\n",
            migrate_url.unwrap_or_default()
        );
        write(path, "credvault.toml", &text);
        let settings = RawSettings::read(Some(&path.join("credvault.toml")), [], &[]);
        let store = settings.check().unwrap().store;
        credvault_store::migrate(&store.database, store.migrate_url.as_ref(), owner, &SystemRandom)
            .await
            .unwrap();
        if let Some(database) = &database {
            database.require_feed_rows();
        }
        Self { instance: None, authority, clock: ManualClock::at_present(), settings, folder, database }
    }

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

    /// The database, with all rights over it.
    async fn intruder(&self) -> DatabaseConnection {
        let url = match &self.database {
            Some(database) => format!("{}?options=-csearch_path%3Dcredvault", database.migrate_url),
            None => self.settings.store.url.expose_secret().to_owned(),
        };
        Database::connect(url).await.unwrap()
    }

    /// The number of rows in a table.
    pub async fn count(&self, table: &str) -> i64 {
        let db = self.intruder().await;
        let sql = format!("SELECT count(*) AS count FROM {table}");
        let row =
            db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap().unwrap();
        let count = row.try_get("", "count").unwrap();
        db.close().await.unwrap();
        count
    }

    /// Whether a text stands anywhere in a table; on SQLite, anywhere in the database's files.
    pub async fn holds(&self, table: &str, text: &str) -> bool {
        let Some(_) = &self.database else {
            let files = ["vault.db", "vault.db-wal"].map(|name| self.folder.path().join(name));
            let bytes = files.map(|file| std::fs::read(file).unwrap_or_default()).concat();
            return bytes.windows(text.len()).any(|window| window == text.as_bytes());
        };
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let like = format!("t::text LIKE '%{text}%' OR t::text LIKE '%{hex}%'");
        self.count(&format!("{table} t WHERE {like}")).await > 0
    }

    /// A transaction with a statement in it that is in the vault's way until it is rolled back.
    pub async fn blocking(&self, sql: &str) -> DatabaseTransaction {
        let tx = self.intruder().await.begin().await.unwrap();
        tx.execute_unprepared(sql).await.unwrap();
        tx
    }

    pub async fn sql(&self, sql: &str) {
        let db = self.intruder().await;
        db.execute_unprepared(sql).await.unwrap();
        db.close().await.unwrap();
    }

    /// The metrics as the operators' port shows them.
    pub async fn metrics(&self) -> String {
        get(self.instance.as_ref().unwrap().admin_address, "/metrics").await.1
    }
}

pub async fn postgres_database() -> PostgresDatabase {
    tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap()
}

/// An HTTP GET: status and body.
pub async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let response = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Tries until it holds, for at most a minute: machines may be slow.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "{what} did not happen");
        ticks.tick().await;
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let unfinished = folder.join(format!("{name}.unfinished"));
    std::fs::write(&unfinished, text).unwrap();
    std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&unfinished, folder.join(name)).unwrap();
}

fn write_leaf(folder: &Path, name: &str, leaf: &Leaf) {
    write(folder, &format!("{name}.key"), &leaf.key);
    write(folder, &format!("{name}.pem"), &leaf.certificate);
}

/// A connection of the provider `generic` with one secret field.
pub fn generic(account: &str, secret: &str) -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest {
        owner: Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() }),
        provider: "generic".to_owned(),
        account_name: account.to_owned(),
        auth_mode: "fields".to_owned(),
        credential: Some(input(&[("token", secret)])),
        ..Default::default()
    }
}

pub fn owned_by(user: &str, mut request: v1::CreateConnectionRequest) -> v1::CreateConnectionRequest {
    request.owner = Some(v1::Owner { kind: v1::OwnerKind::User.into(), user_id: user.to_owned() });
    request
}

pub fn input(fields: &[(&str, &str)]) -> v1::CredentialInput {
    let fields: BTreeMap<_, _> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    v1::CredentialInput { fields, expiry: None }
}

pub fn by_id(id: &str) -> v1::FetchCredentialRequest {
    v1::FetchCredentialRequest { connection_id: id.to_owned(), ..Default::default() }
}

pub fn by_provider(provider: &str) -> v1::FetchCredentialRequest {
    v1::FetchCredentialRequest { provider: provider.to_owned(), ..Default::default() }
}
