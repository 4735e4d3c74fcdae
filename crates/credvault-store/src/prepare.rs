//! `credvault migrate`: roles, schema and grants.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use credvault_crypto::scram_sha_256_verifier;
use credvault_domain::Random;
use credvault_migrations::{Migrator, RolesError};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use sea_orm_migration::MigratorTrait as _;
use secrecy::SecretString;

use crate::settings::credentials_of;
use crate::{Database, StoreSettings, connect};

/// The key of the advisory lock that migrations hold, so that several `credvault migrate` take turns: "credvaul".
const LOCK: i64 = 0x6372_6564_7661_756c;

/// Why the database could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The URL is of no database that we know.
    #[error("store.url must begin with postgres:// or sqlite:")]
    Url,
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
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database is of a later release.
    #[error("the database is of a newer release (it has the migration {0}); run that release or a later one")]
    Newer(String),
    /// A role is unusable.
    #[error(transparent)]
    Roles(#[from] RolesError),
    /// A password could not be prepared.
    #[error(transparent)]
    Crypto(#[from] credvault_crypto::Error),
    /// The database refused.
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
    match Database::of_url(&settings.url).ok_or(MigrateError::Url)? {
        Database::Sqlite => {
            if let Some(path) = connect::sqlite_file(secrecy::ExposeSecret::expose_secret(&settings.url)) {
                create_private(&path)?;
            }
            let db = connect::preparing(Database::Sqlite, settings).await?;
            let applied = apply(&db).await;
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
            let db = connect::preparing(Database::Postgres, &migrating).await?;
            db.execute_unprepared(&format!("SELECT pg_advisory_lock({LOCK})")).await?;
            credvault_migrations::prepare(&db, owner_role, &runtime, verifier.as_deref()).await?;
            // The name was checked by `prepare`.
            db.execute_unprepared(&format!("SET ROLE \"{owner_role}\"")).await?;
            db.execute_unprepared(&format!("SET search_path = {}", credvault_migrations::SCHEMA)).await?;
            let applied = apply(&db).await?;
            credvault_migrations::grant(&db, &runtime).await?;
            db.close().await?;
            Ok(applied)
        }
    }
}

async fn apply(db: &DatabaseConnection) -> Result<Vec<String>, MigrateError> {
    if let Some(unknown) = newer_migration(db).await? {
        return Err(MigrateError::Newer(unknown));
    }
    let pending = Migrator::get_pending_migrations(db).await?;
    Migrator::up(db, None).await?;
    Ok(pending.iter().map(|migration| migration.name().to_owned()).collect())
}

/// A migration that the database has and this release does not know.
pub(crate) async fn newer_migration(db: &DatabaseConnection) -> Result<Option<String>, DbErr> {
    let known = credvault_migrations::names();
    Ok(applied_migrations(db).await?.into_iter().find(|name| !known.contains(name)))
}

/// The migrations that the database has; none if it has no table of them.
pub(crate) async fn applied_migrations(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    use sea_orm::DbBackend;
    let backend = db.get_database_backend();
    let exists = match backend {
        DbBackend::Postgres => {
            "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_migrations'"
        }
        _ => "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'",
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
