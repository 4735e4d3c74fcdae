//! A database that a backup is restored into, of either kind: one transaction, which nothing is visible of until it ends.

use sea_orm::sqlx::{self, SqliteConnection};

use super::error::BackupError;
use super::row::NextRow;
use super::{postgres_target, sqlite_target};

/// The transaction of a restore. It is lost, and the database is as it was, unless it is committed.
pub(super) enum Target {
    Postgres(postgres_target::Loading),
    Sqlite(SqliteConnection),
}

impl Target {
    /// Puts rows of a table into it.
    pub(super) async fn load(
        &mut self,
        table: &str,
        columns: &[String],
        rows: &mut impl NextRow,
    ) -> Result<(), BackupError> {
        match self {
            Self::Postgres(loading) => postgres_target::load(loading, table, columns, rows).await,
            Self::Sqlite(connection) => sqlite_target::load(connection, table, columns, rows).await,
        }
    }

    /// Makes everything visible at once.
    pub(super) async fn commit(self) -> Result<(), BackupError> {
        match self {
            Self::Postgres(loading) => postgres_target::commit(loading).await,
            Self::Sqlite(mut connection) => {
                sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
                // What was written stands in the file beside the database's until it is moved.
                sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
                Ok(())
            }
        }
    }
}
