//! Opening a database: everything is checked before the first write.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use credvault_crypto::{Keyring, RootKeySources};
use credvault_domain::{Clock, Random};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, Statement};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::audit::journal::JournalKeys;
use crate::audit::last_uses::noted::LastUses;
use crate::audit::log::AuditLog;
use crate::audit::write::JournalWriter;
use crate::connections::quota::Quotas;
use crate::database::broken_keys::BrokenKeys;
use crate::database::connect::{self, Connections};
use crate::database::liveness::Liveness;
use crate::database::newest_keys::NewestKeys;
use crate::database::open_error::{OpenError, within};
use crate::database::roots::Proving;
use crate::database::{file, prepare, role_check};
use crate::secrets::known::KnownPayloads;
use crate::store::Inner;
use crate::tenants::rules::known::KnownRules;
use crate::usage::known::KnownConnections;
use crate::usage::writer::UsageWriter;
use crate::{Database, Store, StoreSettings, Turns};

impl Store {
    /// Opens a database that `credvault migrate` has prepared, proves the root keys, and starts the audit writer. A new
    /// database gets the root key's check value and the platform's own namespace.
    ///
    /// # Errors
    /// Anything that is not as it must be. Nothing was written then, except perhaps the first rows of a new database.
    pub async fn open(
        settings: StoreSettings,
        roots: &RootKeySources,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, OpenError> {
        let database = Database::of_url(&settings.url).ok_or(OpenError::Url)?;
        let file = held_file(database, &settings)?;
        // The server gives up first, if it lives.
        let patience = settings.acquire_timeout + settings.statement_timeout + Duration::from_secs(1);
        let connections = Arc::new(connected(database, &settings, patience).await?);
        let writer = connections.writer();
        let proving = Proving { db: &writer, database, clock: &*clock, random: &random, patience };
        let keyring = proving.keyring(roots).await?;
        let journal_keys = Arc::<JournalKeys>::default();
        let (keys, clock_of_log) = (Arc::clone(&journal_keys), Arc::clone(&clock));
        let journal = JournalWriter::new(Arc::clone(&connections), keys, clock_of_log, random, patience);
        let audit = AuditLog::start(journal, settings.audit_timeout, settings.buffered.clone());
        let name = random_name(&keyring)?;
        let usage = UsageWriter::start(database, Arc::clone(&connections), patience, name);
        let liveness = Liveness::start(database, Arc::clone(&connections), name);
        let queries = turns(settings.query_connections);
        let refreshing = turns(settings.max_connections / 2);
        let known_payloads = KnownPayloads::new(&settings.secrets);
        let inner = Inner {
            database,
            connections,
            queries,
            refreshing,
            settings,
            keyring,
            clock,
            audit,
            journal_keys,
            last_uses: LastUses::default(),
            audit_care: Default::default(),
            usage,
            known_connections: KnownConnections::default(),
            last_id: Mutex::default(),
            liveness,
            quotas: Quotas::default(),
            known_rules: KnownRules::default(),
            running_claims: Arc::default(),
            process: name,
            broken_keys: BrokenKeys::default(),
            newest_keys: NewestKeys::default(),
            known_payloads,
            pending_outcomes: Default::default(),
            sightings: Default::default(),
            file: Mutex::new(file),
        };
        let store = Self::from_inner(inner);
        // Whatever the store answers from now on can be recorded.
        let opening = async { store.open_journal_key().await.map_err(OpenError::JournalKey) };
        within(patience, "the key of the audit journal was opened", opening).await?;
        Ok(store)
    }
}

fn turns(number: u32) -> Turns {
    Turns::new(usize::try_from(number).unwrap_or(usize::MAX))
}

/// The name of this process, which no other has.
fn random_name(keyring: &Keyring) -> Result<Uuid, OpenError> {
    let mut name = [0; 16];
    keyring.random().fill(&mut name).map_err(credvault_crypto::Error::from)?;
    Ok(uuid::Builder::from_random_bytes(name).into_uuid())
}

/// SQLite: the file, held for this process.
fn held_file(database: Database, settings: &StoreSettings) -> Result<Option<file::Held>, OpenError> {
    match connect::sqlite_file(settings.url.expose_secret()) {
        // A missing one is the driver's to tell.
        Some(path) if database == Database::Sqlite && !settings.shares_file && path.exists() => {
            Ok(Some(file::hold(&path)?))
        }
        _ => Ok(None),
    }
}

/// Connections to a database that is as it must be.
async fn connected(
    database: Database,
    settings: &StoreSettings,
    patience: Duration,
) -> Result<Connections, OpenError> {
    let opening = Connections::open(database, settings);
    let connections = within(patience, "a connection was made", opening).await?;
    let writer = connections.writer();
    within(patience, "its migrations were looked up", check_schema(&writer)).await?;
    if database == Database::Postgres {
        within(patience, "its settings and roles were checked", check_server(&writer)).await?;
    }
    Ok(connections)
}

async fn check_schema(db: &DatabaseConnection) -> Result<(), OpenError> {
    let (applied, known) = (prepare::applied_migrations(db).await?, credvault_migrations::names());
    if let Some(missing) = known.iter().find(|name| !applied.contains(name)) {
        return Err(OpenError::Older(missing.clone()));
    }
    for unknown in applied.into_iter().filter(|name| !known.contains(name)) {
        if known.last().is_some_and(|last| unknown < *last) {
            return Err(OpenError::Foreign(unknown));
        }
        // Migrations only expand, so this release still serves, as it must until the new one has taken over.
        tracing::warn!(migration = unknown, "the database is of a newer release; this one serves on");
    }
    Ok(())
}

/// PostgreSQL: the server's age, what our role may do, and that every table with a tenant is protected.
async fn check_server(db: &DatabaseConnection) -> Result<(), OpenError> {
    let one = |sql: &str| db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql.to_owned()));
    let missing = || DbErr::Custom("the server answered no row".to_owned());
    let row =
        one("SELECT current_setting('server_version_num')::int AS version").await?.ok_or_else(missing)?;
    let version: i32 = row.try_get("", "version")?;
    if version < 150_000 {
        return Err(OpenError::TooOld(version / 10_000));
    }
    role_check::check(db).await?;
    let row =
        one("SELECT current_setting('synchronous_commit') = 'off' AS off").await?.ok_or_else(missing)?;
    if row.try_get("", "off")? {
        return Err(OpenError::NotDurable);
    }
    let unprotected =
        one("SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
         WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
         AND NOT (c.relrowsecurity AND c.relforcerowsecurity) LIMIT 1");
    match unprotected.await? {
        Some(row) => Err(OpenError::Unprotected(row.try_get("", "name")?)),
        None => Ok(()),
    }
}
