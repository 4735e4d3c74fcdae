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

    /// Makes everything visible.
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

/// Refuses a database that was prepared with other migrations than the backup has.
pub(super) fn check_migrations(applied: &[String], of_backup: &[String]) -> Result<(), BackupError> {
    let differs = |(applied, of_backup): &(&String, &String)| applied != of_backup;
    let other = applied.iter().zip(of_backup).find(differs).map(|(applied, _)| applied);
    let shorter = applied.len().min(of_backup.len());
    let more = applied.get(shorter).or_else(|| of_backup.get(shorter));
    match other.or(more) {
        Some(name) => Err(BackupError::OtherMigrations(name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_must_be_the_same() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let of_backup = names(&["m1", "m2"]);
        assert!(check_migrations(&of_backup, &of_backup).is_ok());
        for (applied, name) in [(&["m1", "m2", "m3"][..], "m3"), (&["m1"], "m2"), (&["m1", "m4"], "m4")] {
            let refused = check_migrations(&names(applied), &of_backup);
            assert!(matches!(refused, Err(BackupError::OtherMigrations(found)) if found == name), "{name}");
        }
    }
}
