//! A database that is read as it was at one moment, of either kind.

use sea_orm::sqlx::{self, PgConnection, SqliteConnection};

use super::error::BackupError;
use super::{postgres_source, sqlite_source};
use crate::{Database, Store};

/// A connection with one reading transaction, which sees the same until it ends. It is outside of the pool, so that it is
/// closed, and never used again, wherever the backup ends.
pub(super) enum Source {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Source {
    /// Begins to read the store's database. On PostgreSQL as the role of backups, on a connection by `migrate_url`.
    pub(super) async fn open(
        store: &Store,
        migrate_url: Option<&secrecy::SecretString>,
        owner_role: &str,
    ) -> Result<Self, BackupError> {
        match store.database() {
            Database::Postgres => {
                let url = migrate_url.ok_or(BackupError::NoMigrateUrl)?;
                Ok(Self::Postgres(postgres_source::open(store.settings(), url, owner_role).await?))
            }
            Database::Sqlite => Ok(Self::Sqlite(sqlite_source::open(store).await?)),
        }
    }

    /// The texts in the only column that a question has.
    pub(super) async fn texts(&mut self, sql: &'static str) -> Result<Vec<String>, BackupError> {
        Ok(match self {
            Self::Postgres(connection) => {
                sqlx::query_scalar::<_, String>(sql).fetch_all(&mut *connection).await?
            }
            Self::Sqlite(connection) => {
                sqlx::query_scalar::<_, String>(sql).fetch_all(&mut *connection).await?
            }
        })
    }

    /// The numbers in the only column that a question has.
    pub(super) async fn numbers(&mut self, sql: &'static str) -> Result<Vec<i64>, BackupError> {
        Ok(match self {
            Self::Postgres(connection) => {
                sqlx::query_scalar::<_, i64>(sql).fetch_all(&mut *connection).await?
            }
            Self::Sqlite(connection) => sqlx::query_scalar::<_, i64>(sql).fetch_all(&mut *connection).await?,
        })
    }

    /// Reads all rows of a table: first says its columns to `columns`, then gives each row to `each`.
    pub(super) async fn table<W>(
        &mut self,
        table: &str,
        writer: &mut W,
        columns: impl FnOnce(&mut W, Vec<String>) -> Result<(), BackupError>,
        each: impl FnMut(&mut W, &[u8]) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        match self {
            Self::Postgres(connection) => {
                postgres_source::table(connection, table, writer, columns, each).await
            }
            Self::Sqlite(connection) => sqlite_source::table(connection, table, writer, columns, each).await,
        }
    }
}
