//! A store on a database of its own, of either kind.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use credvault_crypto::{RootKeySource, SystemRandom};
use credvault_domain::{
    AccountName, Action, AuditEvent, AuthMode, Config, Connection, ConnectionId, EventEndpointId, Labels,
    Owner, Permit, ProviderId, Reach, RequestId, SecretFields, ServiceId, TenantId, TenantScope,
    TenantSource, TraceId, UserId,
};
use credvault_store::{
    Beginner, Bringer, NewConnection, NewCredential, RepeatKey, Selector, Store, StoreSettings, Write,
};
use credvault_testkit::{ManualClock, Postgres, PostgresDatabase};
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, Statement};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

/// Runs a test on both kinds of database.
#[macro_export]
macro_rules! on_both {
    ($($(#[$attribute:meta])* async fn $name:ident($fixture:ident: &Fixture) $body:block)*) => {$(
        mod $name {
            use super::*;

            $(#[$attribute])*
            async fn body($fixture: &Fixture) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body(&Fixture::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                body(&Fixture::postgres().await).await;
            }
        }
    )*};
}

pub struct Fixture {
    pub store: Store,
    pub settings: StoreSettings,
    pub clock: ManualClock,
    pub folder: tempfile::TempDir,
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
        Self { store, settings, clock, folder, postgres }
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

/// What somebody with all rights over the database can do.
impl Fixture {
    pub async fn intruder(&self) -> DatabaseConnection {
        let url = match &self.postgres {
            Some(database) => format!("{}?options=-csearch_path%3Dcredvault", database.migrate_url),
            None => self.settings.url.expose_secret().to_owned(),
        };
        Database::connect(ConnectOptions::new(url).max_connections(1).sqlx_logging(false).to_owned())
            .await
            .unwrap()
    }

    /// Runs SQL and tells how many rows it changed.
    pub async fn execute(&self, sql: &str) -> u64 {
        self.try_execute(sql).await.unwrap()
    }

    pub async fn try_execute(&self, sql: &str) -> Result<u64, String> {
        let db = self.intruder().await;
        let changed = db.execute_unprepared(sql).await.map_err(|error| error.to_string());
        db.close().await.unwrap();
        changed.map(|result| result.rows_affected())
    }

    /// The text in the column `v` of the first row.
    pub async fn text(&self, sql: &str) -> String {
        let db = self.intruder().await;
        let row =
            db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap().unwrap();
        let text = row.try_get("", "v").unwrap();
        db.close().await.unwrap();
        text
    }

    /// A UUID or other bytes as a literal.
    fn bytes(&self, hex: &str) -> String {
        if self.postgres.is_some() { format!("'\\x{hex}'::bytea") } else { format!("x'{hex}'") }
    }

    /// An id as a literal.
    pub fn id(&self, id: ConnectionId) -> String {
        match &self.postgres {
            Some(_) => format!("'{id}'::uuid"),
            None => format!("x'{}'", id.as_uuid().simple()),
        }
    }

    /// Makes `copies` of a connection's row, without credentials, faster than by calls.
    pub async fn multiply(&self, id: ConnectionId, copies: u32) {
        let (list, random) = match &self.postgres {
            Some(_) => (
                "SELECT string_agg(column_name, ',') AS v FROM information_schema.columns
                 WHERE table_schema = 'credvault' AND table_name = 'connections'",
                "gen_random_uuid()",
            ),
            None => {
                ("SELECT group_concat(name) AS v FROM pragma_table_info('connections')", "randomblob(16)")
            }
        };
        let columns = self.text(list).await;
        let value = |column: &str| match column {
            "id" => random.to_owned(),
            "account_name" => "account_name || '-' || i".to_owned(),
            "is_default" => "is_default AND FALSE".to_owned(),
            other => other.to_owned(),
        };
        let values: Vec<_> = columns.split(',').map(value).collect();
        let (values, id) = (values.join(","), self.id(id));
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {copies})
             INSERT INTO connections ({columns}) SELECT {values} FROM connections, n WHERE id = {id}"
        );
        assert_eq!(self.execute(&sql).await, u64::from(copies));
    }

    /// Makes `copies` of an endpoint's only delivery.
    pub async fn multiply_delivery(&self, endpoint: EventEndpointId, copies: u32) {
        let random = if self.postgres.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
        let id = self.id(ConnectionId::from_uuid(endpoint.as_uuid()));
        let columns =
            "type, body, state, attempts, due_time, attempt_time, failure, expire_time, create_time,
            about_tenant, about_user, user_deleted";
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {copies})
             INSERT INTO event_deliveries (tenant_id, endpoint_id, event_id, {columns})
             SELECT tenant_id, endpoint_id, {random}, {columns} FROM event_deliveries, n WHERE endpoint_id = {id}"
        );
        assert_eq!(self.execute(&sql).await, u64::from(copies));
    }

    /// From now on PostgreSQL refuses every statement that changes or deletes more than a piece of these tables' rows, one
    /// that is caused by another's cascade, too. SQLite has no triggers of this kind.
    pub async fn only_pieces_of(&self, tables: &[&str]) {
        if self.postgres.is_none() {
            return;
        }
        self.execute(
            "CREATE FUNCTION only_pieces() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF (SELECT count(*) FROM changed) > 200 THEN
                     RAISE EXCEPTION 'one statement for % rows of %', (SELECT count(*) FROM changed), TG_TABLE_NAME;
                 END IF;
                 RETURN NULL;
             END $$",
        )
        .await;
        for table in tables {
            for event in ["UPDATE", "DELETE"] {
                let trigger = format!(
                    "CREATE TRIGGER only_pieces_{event} AFTER {event} ON {table} REFERENCING OLD TABLE AS changed
                     FOR EACH STATEMENT EXECUTE FUNCTION only_pieces()"
                );
                self.execute(&trigger).await;
            }
        }
    }

    /// Makes every change of a table's rows fail, until [`Fixture::permit_updates`].
    pub async fn refuse_updates(&self, table: &str) {
        if self.postgres.is_some() {
            let function = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$";
            self.execute(function).await;
            let trigger = format!(
                "CREATE TRIGGER refused BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
            );
            self.execute(&trigger).await;
        } else {
            let trigger = format!(
                "CREATE TRIGGER refused BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END"
            );
            self.execute(&trigger).await;
        }
    }

    pub async fn permit_updates(&self, table: &str) {
        let of_table = if self.postgres.is_some() { format!(" ON {table}") } else { String::new() };
        self.execute(&format!("DROP TRIGGER refused{of_table}")).await;
    }

    /// The sealed bytes of a connection's newest version.
    pub async fn sealed(&self, id: ConnectionId) -> Vec<u8> {
        let hex = if self.postgres.is_some() { "encode(sealed, 'hex')" } else { "lower(hex(sealed))" };
        let id = self.id(id);
        let newest = format!(
            "SELECT {hex} AS v FROM credential_versions WHERE connection_id = {id} ORDER BY version DESC LIMIT 1"
        );
        let text = self.text(&newest).await;
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    /// Replaces the sealed bytes of a connection's current version.
    pub async fn set_sealed(&self, id: ConnectionId, sealed: &[u8]) {
        let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        let (bytes, id) = (self.bytes(&hex), self.id(id));
        let current = format!("(SELECT current_version FROM connections c WHERE c.id = {id})");
        let update = format!(
            "UPDATE credential_versions SET sealed = {bytes} WHERE connection_id = {id} AND version = {current}"
        );
        assert_eq!(self.execute(&update).await, 1);
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
    Store::open(settings.clone(), &root, Arc::new(clock.clone()), Arc::new(SystemRandom)).await
}

/// The scope of one user, or without one that of all users.
pub fn scope(tenant: &str, user: Option<&str>) -> TenantScope {
    reaching(tenant, user.map_or(Reach::AllUsers, |user| Reach::User(UserId::parse(user).unwrap())))
}

#[expect(clippy::disallowed_methods, reason = "there is no identity here to verify")]
pub fn reaching(tenant: &str, reach: Reach) -> TenantScope {
    let tenant =
        if tenant == TenantId::PLATFORM { TenantId::platform() } else { TenantId::parse(tenant).unwrap() };
    TenantScope::assume_verified(tenant, reach)
}

/// Long enough for what a test asks for.
pub fn soon() -> std::time::Instant {
    std::time::Instant::now() + std::time::Duration::from_secs(600)
}

#[expect(clippy::disallowed_methods, reason = "there is no policy here to ask")]
pub fn permit() -> Permit {
    Permit::assume_permitted(vec!["test".to_owned()])
}

pub fn write(scope: &TenantScope, action: Action) -> Write {
    Write::new(&permit(), event(scope, action), None)
}

pub fn repeatable(scope: &TenantScope, action: Action, id: Uuid, payload: &str) -> Write {
    let repeat = RepeatKey {
        service: ServiceId::parse("spiffe://test/service").unwrap(),
        user: None,
        id: RequestId::parse(&id.to_string()).unwrap(),
        payload: Arc::new(payload.as_bytes().to_vec().into()),
    };
    Write::new(&permit(), event(scope, action), Some(repeat))
}

pub fn event(scope: &TenantScope, action: Action) -> AuditEvent {
    AuditEvent {
        service: Some(ServiceId::parse("spiffe://test/service").unwrap()),
        user: match scope.reach() {
            Reach::User(user) => Some(user.clone()),
            Reach::Shared | Reach::AllUsers => None,
        },
        tenant_source: TenantSource::Header,
        policies: vec!["test".to_owned()],
        trace: TraceId::from_bytes([7; 16]),
        source: Some("127.0.0.1".parse().unwrap()),
        ..AuditEvent::of(scope.tenant().clone(), action)
    }
}

/// Who begins the consents of these tests.
pub fn beginner() -> Beginner {
    Beginner {
        service: ServiceId::parse("spiffe://test/service").unwrap(),
        user: None,
        tenant_source: TenantSource::Header,
        source: Some("127.0.0.1".parse().unwrap()),
    }
}

/// The same caller with what the vault's own callback brought.
pub fn bringer(session: Option<&str>) -> Bringer<'_> {
    Bringer { user: None, session, public: true }
}

pub fn new_connection(account: &str) -> NewConnection {
    NewConnection {
        owner: Owner::Tenant,
        provider: ProviderId::parse("generic").unwrap(),
        account_name: AccountName::parse(account).unwrap(),
        auth_mode: AuthMode::parse("fields").unwrap(),
        config: Config::default(),
        labels: Labels::default(),
        external_account_id: None,
        enabled: true,
    }
}

pub fn owned_by(user: &str, account: &str) -> NewConnection {
    NewConnection { owner: Owner::User(UserId::parse(user).unwrap()), ..new_connection(account) }
}

pub fn credential(value: &str) -> NewCredential {
    let fields = SecretFields::parse("f", [("token".to_owned(), value.to_owned().into())]).unwrap();
    NewCredential {
        fields,
        hints: [("token".to_owned(), "hint".to_owned())].into(),
        expire_time: None,
        renewal: None,
    }
}

pub fn by_provider(user: Option<&str>, account: Option<&str>) -> Selector {
    Selector::Provider {
        provider: ProviderId::parse("generic").unwrap(),
        user: user.map(|user| UserId::parse(user).unwrap()),
        account: account.map(|account| AccountName::parse(account).unwrap()),
    }
}
