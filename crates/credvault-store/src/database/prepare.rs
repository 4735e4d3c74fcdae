//! `credvault migrate`: roles, schema and grants.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use credvault_crypto::scram_sha_256_verifier;
use credvault_domain::Random;
use credvault_migrations::{Migrator, RolesError};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, TransactionTrait as _};
use sea_orm_migration::MigratorTrait as _;
use secrecy::SecretString;

use crate::database::connect;
use crate::database::file;
use crate::database::file::FileError;
use crate::database::settings::credentials_of;
use crate::error::{of_the_url, sql_state};
use crate::{Database, StoreSettings};

/// The key of the advisory lock that migrations hold, so that several `credvault migrate` take turns: "credvaul".
pub(crate) const LOCK: i64 = 0x6372_6564_7661_756c;
/// How long one `credvault migrate` waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a statement waits for a table's lock: calls that want the table queue behind it, and must not fail.
const LOCK_WAIT: Duration = Duration::from_millis(500);
/// How long a step is tried again when locks are in its way.
const LOCKED_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a statement may run.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(300);

/// Why the database could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The URL is of no database that we know.
    #[error("store.url must begin with postgres:// or sqlite:")]
    Url,
    /// The driver cannot use the URL. Its message is left out, for it repeats the URL.
    #[error(
        "{0} cannot be used: percent-encode special characters of the password, and check the parameters behind the \
         question mark"
    )]
    Unusable(&'static str),
    /// Migrating PostgreSQL needs a second URL.
    #[error(
        "store.migrate_url is missing: migrating PostgreSQL needs a role that may create roles and a schema"
    )]
    NoMigrateUrl,
    /// The runtime URL names no user.
    #[error("store.url must name a user: the role that the service runs as")]
    NoUser,
    /// The database file cannot be created.
    #[error("the database file {path} cannot be created: {source}")]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// SQLite: the file is not to be used.
    #[error(transparent)]
    InUse(#[from] FileError),
    /// The database is of a later release.
    #[error("the database is of a newer release (it has the migration {0}); run that release or a later one")]
    Newer(String),
    /// Another `credvault migrate` does not end.
    #[error(
        "another `credvault migrate` has been running on this database for a minute; nothing was changed, try again"
    )]
    Busy,
    /// A migration did not get the lock of a table in time.
    #[error(
        "another transaction held a needed lock for a minute, so the migration changed nothing. End long \
         transactions and run `credvault migrate` again"
    )]
    Locked,
    /// A role is unusable.
    #[error(transparent)]
    Roles(#[from] RolesError),
    /// A password could not be prepared.
    #[error(transparent)]
    Crypto(#[from] credvault_crypto::Error),
    /// The database refused a statement.
    #[error("the database refused: {0}")]
    Database(#[from] DbErr),
}

/// Brings a database up to this release; one that is up to date is left as it is. Returns the migrations applied.
///
/// On PostgreSQL it connects as `migrate_url`, creates `owner_role` and the user of `settings.url` where they are
/// missing, makes the schema as the owner, and grants the user what the service needs. On SQLite it creates the file.
///
/// # Errors
/// The database cannot be reached, is of a newer release, or refuses.
pub async fn migrate(
    settings: &StoreSettings,
    migrate_url: Option<&SecretString>,
    owner_role: &str,
    random: &dyn Random,
) -> Result<Vec<String>, MigrateError> {
    migrate_until(None, settings, migrate_url, owner_role, random).await
}

/// The same up to the migration of this name, so that a backup of an earlier release finds the schema that it was made of.
pub(crate) async fn migrate_until(
    last: Option<&str>,
    settings: &StoreSettings,
    migrate_url: Option<&SecretString>,
    owner_role: &str,
    random: &dyn Random,
) -> Result<Vec<String>, MigrateError> {
    match Database::of_url(&settings.url).ok_or(MigrateError::Url)? {
        Database::Sqlite => {
            let _held = match connect::sqlite_file(secrecy::ExposeSecret::expose_secret(&settings.url)) {
                Some(path) => {
                    create_private(&path)?;
                    Some(file::hold(&path)?)
                }
                None => None,
            };
            let connecting = connect::preparing(Database::Sqlite, settings).await;
            let db = connecting.map_err(|error| connect_error("store.url", error))?;
            let applied = apply(&db, last).await;
            db.close().await?;
            applied
        }
        Database::Postgres => {
            let migrate_url = migrate_url.ok_or(MigrateError::NoMigrateUrl)?;
            let (runtime, password) = credentials_of(&settings.url).ok_or(MigrateError::NoUser)?;
            let verifier = match &password {
                Some(password) => scram_sha_256_verifier(password, random)?,
                None => None,
            };
            let migrating = StoreSettings { url: migrate_url.clone(), ..settings.clone() };
            let connecting = connect::preparing(Database::Postgres, &migrating).await;
            let db = connecting.map_err(|error| connect_error("store.migrate_url", error))?;
            let applied = postgres(&db, owner_role, &runtime, verifier.as_deref(), last).await;
            db.close().await?;
            applied
        }
    }
}

/// Why a connection by the URL of this setting was not made.
pub(crate) fn connect_error(key: &'static str, error: DbErr) -> MigrateError {
    if of_the_url(&error) { MigrateError::Unusable(key) } else { MigrateError::Database(error) }
}

/// Roles, schema and rights, beside a service that runs. Each step is a transaction of its own that leaves the service
/// all its rights, so it may be cut off at any moment and begun again.
async fn postgres(
    db: &DatabaseConnection,
    owner: &str,
    runtime: &str,
    verifier: Option<&str>,
    last: Option<&str>,
) -> Result<Vec<String>, MigrateError> {
    patient(async || {
        let tx = exclusive(db).await?;
        credvault_migrations::prepare(&tx, owner, runtime, verifier).await?;
        Ok(tx.commit().await?)
    })
    .await?;
    let mut applied = Vec::new();
    while let Some(name) = patient(async || step(db, owner, runtime, last).await).await? {
        applied.push(name);
    }
    Ok(applied)
}

/// The next migration that is pending, if there is one, together with the rights to all that is there then.
async fn step(
    db: &DatabaseConnection,
    owner: &str,
    runtime: &str,
    last: Option<&str>,
) -> Result<Option<String>, MigrateError> {
    let tx = exclusive(db).await?;
    // The name was checked by `prepare`.
    tx.execute_unprepared(&format!("SET LOCAL ROLE \"{owner}\"")).await?;
    tx.execute_unprepared(&format!("SET LOCAL search_path = {}", credvault_migrations::SCHEMA)).await?;
    let next = pending(&tx, last).await?.into_iter().next();
    if next.is_some() {
        Migrator::up(&tx, Some(1)).await?;
    }
    credvault_migrations::grant(&tx, owner, runtime).await?;
    tx.commit().await?;
    Ok(next)
}

/// Begins a transaction that no other `credvault migrate` of this database is in, and that neither waits for others nor
/// lets others wait for it without end.
async fn exclusive(db: &DatabaseConnection) -> Result<DatabaseTransaction, MigrateError> {
    let tx = db.begin().await?;
    let milliseconds = |name: &str, limit: Duration| format!("SET LOCAL {name} = {}", limit.as_millis());
    tx.execute_unprepared(&milliseconds("statement_timeout", STATEMENT_TIMEOUT)).await?;
    tx.execute_unprepared(&milliseconds("lock_timeout", TURN_TIMEOUT)).await?;
    match tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await {
        Err(error) if lock_timed_out(&error) => return Err(MigrateError::Busy),
        locked => locked?,
    };
    tx.execute_unprepared(&milliseconds("lock_timeout", LOCK_WAIT)).await?;
    Ok(tx)
}

/// Tries again, for a limited time, after meeting a lock of a running service. Each try gives up quickly, because those
/// behind it in the lock's queue wait as long as it does.
async fn patient<T>(attempt: impl AsyncFn() -> Result<T, MigrateError>) -> Result<T, MigrateError> {
    let begun = Instant::now();
    loop {
        let result = match tokio::time::timeout(STATEMENT_TIMEOUT + TURN_TIMEOUT, attempt()).await {
            Ok(result) => result,
            Err(_) => return Err(DbErr::Custom("the server did not answer any more".to_owned()).into()),
        };
        match result {
            Err(MigrateError::Database(error) | MigrateError::Roles(RolesError::Database(error)))
                if lock_timed_out(&error) =>
            {
                if begun.elapsed() >= LOCKED_TIMEOUT {
                    return Err(MigrateError::Locked);
                }
                tokio::time::sleep(LOCK_WAIT).await;
            }
            result => return result,
        }
    }
}

/// SQLSTATE 55P03 (lock not available) and 40P01 (deadlock).
fn lock_timed_out(error: &DbErr) -> bool {
    matches!(sql_state(error).as_deref(), Some("55P03" | "40P01"))
}

/// The migrations that the database lacks, in order, up to the one of the name `last`.
async fn pending<C: ConnectionTrait>(db: &C, last: Option<&str>) -> Result<Vec<String>, MigrateError> {
    if let Some(unknown) = newer_migration(db).await? {
        return Err(MigrateError::Newer(unknown));
    }
    let applied = applied_migrations(db).await?;
    let wanted = |name: &String| !applied.contains(name) && last.is_none_or(|last| name.as_str() <= last);
    Ok(credvault_migrations::names().into_iter().filter(wanted).collect())
}

async fn apply(db: &DatabaseConnection, last: Option<&str>) -> Result<Vec<String>, MigrateError> {
    let pending = pending(db, last).await?;
    if !pending.is_empty() {
        Migrator::up(db, u32::try_from(pending.len()).ok()).await?;
    }
    Ok(pending)
}

/// A migration that the database has and this release does not know.
pub(crate) async fn newer_migration<C: ConnectionTrait>(db: &C) -> Result<Option<String>, DbErr> {
    let known = credvault_migrations::names();
    Ok(applied_migrations(db).await?.into_iter().find(|name| !known.contains(name)))
}

/// The migrations that the database has; none if it has no table of them.
pub(crate) async fn applied_migrations<C: ConnectionTrait>(db: &C) -> Result<Vec<String>, DbErr> {
    use sea_orm::DbBackend;
    let backend = db.get_database_backend();
    let exists = if backend == DbBackend::Postgres {
        "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_migrations'"
    } else {
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'"
    };
    if db.query_one_raw(sea_orm::Statement::from_string(backend, exists)).await?.is_none() {
        return Ok(Vec::new());
    }
    let names =
        sea_orm::Statement::from_string(backend, "SELECT version FROM schema_migrations ORDER BY version");
    db.query_all_raw(names).await?.iter().map(|row| row.try_get("", "version")).collect()
}

/// Creates an empty file that only its owner may read, unless there is one. SQLite gives its other files the same mode.
fn create_private(path: &Path) -> Result<(), MigrateError> {
    let mut options = std::fs::OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(MigrateError::File { path: path.to_owned(), source }),
    }
}
