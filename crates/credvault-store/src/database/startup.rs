//! Opening a database: everything is checked before the first write.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use credvault_crypto::{KdfParameters, Keyring, RootKey, RootKeySource};
use credvault_domain::{Clock, Random, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait as _, Statement,
};
use secrecy::ExposeSecret as _;

use crate::audit::log::AuditLog;
use crate::connections::quota::Quotas;
use crate::database::connect;
use crate::database::connect::Connections;
use crate::database::file;
use crate::database::file::FileError;
use crate::database::liveness::Presence;
use crate::database::prepare;
use crate::database::role_check;
use crate::database::transaction;
use crate::entity::{root_key, tenant};
use crate::error::{sql_state, violates};
use crate::store::Inner;
use crate::tenants::new_tenant::NewTenant;
use crate::{Database, Error, Store, StoreSettings, Turns};

/// Why a database is not served. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is of no database that we know.
    #[error("store.url must begin with postgres:// or sqlite:")]
    Url,
    /// The database does not answer.
    #[error("the database cannot be opened: {0}. Check store.url, and whether `credvault migrate` has run")]
    Database(#[source] DbErr),
    /// The database took too long.
    #[error(
        "the database did not answer within {limit:?} while {step}; is it reachable, overloaded or locked?"
    )]
    Silent {
        /// The step that took too long.
        step: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Another client's statements or settings were met.
    #[error(
        "the database seems to be behind a pooler that shares sessions between clients ({0}). credvault needs sessions \
         of its own: set the pooler to session mode, or point store.url at PostgreSQL itself"
    )]
    Pooler(#[source] DbErr),
    /// SQLite: the file is not to be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// PostgreSQL is too old.
    #[error("PostgreSQL {0} is too old: 15 or later is needed")]
    TooOld(i32),
    /// The role of the service could read or do too much.
    #[error(
        "the database role of the service {0}, so row-level security would not hold. Run the service as the role that \
         `credvault migrate` made (the user of store.url), and run that once more if its rights were changed"
    )]
    Role(&'static str),
    /// There is something that lends its owner's rights.
    #[error(
        "the schema holds {0}, a view or a SECURITY DEFINER function that acts with its owner's rights and is not \
         credvault's; drop it or take it from the service's role"
    )]
    LentRights(String),
    /// The server acknowledges what is not on disk yet.
    #[error(
        "the database runs with synchronous_commit = off, so an audit record could be lost after its call was answered; \
         set it to on for this database and role"
    )]
    NotDurable,
    /// A table lacks row-level security.
    #[error("the table {0} has no forced row-level security; run `credvault migrate`")]
    Unprotected(String),
    /// The database is of an older release.
    #[error("the database lacks the migration {0}; run `credvault migrate`")]
    Older(String),
    /// The database has a migration that is neither this release's nor a later one's.
    #[error(
        "the database has the migration {0}, which is not of this release and not later than it: a build that was never          released has made it, or another program"
    )]
    Foreign(String),
    /// The root key cannot be read or is another one.
    #[error(transparent)]
    RootKey(#[from] credvault_crypto::Error),
    /// The root key's record is missing from a database that is not new.
    #[error(
        "the table root_keys has lost its record although the database is not new, so the root key cannot be proven; \
         nothing was written. Restore root_keys from a backup"
    )]
    RootRecordGone,
    /// The first rows could not be written.
    #[error("the new database could not be initialised: {0}")]
    Initialise(#[from] Error),
}

impl From<DbErr> for OpenError {
    fn from(error: DbErr) -> Self {
        match sql_state(&error).as_deref() {
            // A prepared statement that exists already, or does not; a start-up parameter that is not let through.
            Some("42P05" | "26000" | "08P01") => Self::Pooler(error),
            _ => Self::Database(error),
        }
    }
}

/// Lets a step of the start take no longer than `limit`.
async fn within<T, E>(
    limit: Duration,
    step: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, OpenError>
where
    OpenError: From<E>,
{
    match tokio::time::timeout(limit, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(OpenError::Silent { step, limit }),
    }
}

impl Store {
    /// Opens a database that `credvault migrate` has prepared, proves the root key, and starts the audit writer. A new
    /// database gets the root key's check value and the platform's own space.
    ///
    /// # Errors
    /// Anything that is not as it must be; nothing was written then.
    pub async fn open(
        settings: StoreSettings,
        root: &RootKeySource,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, OpenError> {
        let database = Database::of_url(&settings.url).ok_or(OpenError::Url)?;
        let file = match connect::sqlite_file(settings.url.expose_secret()) {
            // A missing one is the driver's to tell.
            Some(path) if database == Database::Sqlite && path.exists() => Some(file::hold(&path)?),
            _ => None,
        };
        // The server gives up first, if it lives.
        let patience = settings.acquire_timeout + settings.statement_timeout + Duration::from_secs(1);
        let opening = Connections::open(database, &settings);
        let connections = Arc::new(within(patience, "a connection was made", opening).await?);
        let writer = connections.writer();
        within(patience, "its migrations were looked up", check_schema(&writer)).await?;
        if database == Database::Postgres {
            within(patience, "its settings and roles were checked", check_server(&writer)).await?;
        }
        let root_source = root.kind();
        let root = prove_root(&writer, database, root, &*clock, &random, patience).await?;
        let audit = AuditLog::start(database, Arc::clone(&connections), settings.audit_timeout, patience);
        let keyring = Keyring::new(root, random);
        let last_id = Mutex::default();
        let mut name = [0; 16];
        keyring.random().fill(&mut name).map_err(credvault_crypto::Error::from)?;
        let name = uuid::Builder::from_random_bytes(name).into_uuid();
        let presence = Presence::start(database, Arc::clone(&connections), name);
        let queries = Turns::new(usize::try_from(settings.query_connections).unwrap_or(usize::MAX));
        let refreshing = Turns::new(usize::try_from(settings.max_connections / 2).unwrap_or(usize::MAX));
        let inner = Inner {
            database,
            connections,
            queries,
            refreshing,
            settings,
            keyring,
            clock,
            audit,
            root_source,
            last_id,
            presence,
            quotas: Quotas::default(),
            running_intents: Arc::default(),
            file: Mutex::new(file),
        };
        Ok(Self::from_inner(inner))
    }
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

/// The only generation of the root key so far.
const GENERATION: i64 = 1;

/// Loads the root key and proves it against the database; a new database is given its check value.
async fn prove_root(
    db: &DatabaseConnection,
    database: Database,
    source: &RootKeySource,
    clock: &dyn Clock,
    random: &Arc<dyn Random>,
    patience: Duration,
) -> Result<RootKey, OpenError> {
    // Only the database has a limit: making a key of a passphrase takes what it takes.
    let look_up = || within(patience, "the root key's record was read", record(db));
    if let Some(stored) = look_up().await? {
        return prove(source, &stored, &**random);
    }
    let (root, parameters) = source.load(None, &**random)?;
    let keyring = Keyring::new(root, Arc::clone(random));
    let initialising = initialise(db, database, &keyring, source.kind(), parameters.as_ref(), clock);
    match within(patience, "the first rows were written", initialising).await {
        Ok(()) => Ok(keyring.into_root()),
        // Another replica was first; its root key decides.
        Err(OpenError::Initialise(Error::Unavailable(error)))
            if violates(&error, "root_keys_pkey", "root_keys.generation") =>
        {
            let vanished = || DbErr::Custom("the root key's check value vanished".to_owned());
            prove(source, &look_up().await?.ok_or_else(vanished)?, &**random)
        }
        Err(error) => Err(error),
    }
}

/// The root key's record, if there is one.
async fn record<C: ConnectionTrait>(db: &C) -> Result<Option<root_key::Model>, DbErr> {
    root_key::Entity::find_by_id(GENERATION).one(db).await
}

fn prove(
    source: &RootKeySource,
    stored: &root_key::Model,
    random: &dyn Random,
) -> Result<RootKey, OpenError> {
    let parameters = stored.kdf.as_deref().map(str::parse::<KdfParameters>).transpose()?;
    let (root, _) = source.load(parameters.as_ref(), random)?;
    root.prove(&stored.check_value)?;
    Ok(root)
}

async fn initialise(
    db: &DatabaseConnection,
    database: Database,
    keyring: &Keyring,
    kind: &str,
    parameters: Option<&KdfParameters>,
    clock: &dyn Clock,
) -> Result<(), OpenError> {
    let (platform, now) = (TenantId::platform(), clock.now().micros());
    let wrapped = keyring.generate(&platform, 1).await?;
    let tx = transaction::begin_write(db, database, &platform).await?;
    // Looked up together: another replica may have made both a moment ago, and then its root key decides.
    let known = tenant::Entity::find_by_id(platform.as_str()).one(&tx).await?.is_some();
    if known && record(&tx).await?.is_none() {
        return Err(OpenError::RootRecordGone);
    }
    let root = root_key::ActiveModel {
        generation: Set(GENERATION),
        root_id: Set(i64::from(keyring.root().id())),
        kind: Set(kind.to_owned()),
        kdf: Set(parameters.map(ToString::to_string)),
        check_value: Set(keyring.root().check_value(keyring.random())?),
        create_time: Set(now),
    };
    root.insert(&tx).await.map_err(Error::from)?;
    let new = NewTenant { id: &platform, display_name: "", root_id: keyring.root().id(), wrapped };
    new.insert(&tx, now).await?;
    tx.commit().await.map_err(Error::from)?;
    Ok(())
}
