//! The vault's database, reached past the vault with all rights, on one connection.

use credvault_testkit::PostgresDatabase;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, QueryResult, Statement,
};

use crate::it::harness::TestVault;
use crate::raw::Table;

/// A connection to the vault's database, or to one of copies.
pub(crate) struct Reached(pub(crate) DatabaseConnection);

impl Reached {
    /// The vault's own database.
    pub(crate) async fn of(vault: &TestVault) -> Self {
        match &vault.database {
            Some(database) => Self::postgres(database, "credvault").await,
            None => Self::sqlite(&vault.folder.path().join("vault.db")).await,
        }
    }

    /// A schema of a PostgreSQL database.
    pub(crate) async fn postgres(database: &PostgresDatabase, schema: &str) -> Self {
        let url = format!("{}?options=-csearch_path%3D{schema}", database.migrate_url);
        let mut options = ConnectOptions::new(url);
        options.max_connections(1);
        Self(Database::connect(options).await.unwrap())
    }

    /// A file of SQLite, which writes as the vault's connections do.
    pub(crate) async fn sqlite(file: &std::path::Path) -> Self {
        let mut options = ConnectOptions::new(format!("sqlite://{}", file.display()));
        options.max_connections(1).map_sqlx_sqlite_opts(|options| {
            options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(false)
                .pragma("secure_delete", "ON")
        });
        Self(Database::connect(options).await.unwrap())
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.backend() == DbBackend::Postgres
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.0.execute_unprepared(sql).await.unwrap();
    }

    pub(crate) async fn rows(&self, sql: &str) -> Vec<QueryResult> {
        self.0.query_all_raw(Statement::from_string(self.backend(), sql)).await.unwrap()
    }

    /// The text in the column `v` of the one row.
    pub(crate) async fn text(&self, sql: &str) -> String {
        self.rows(sql).await[0].try_get("", "v").unwrap()
    }

    /// Leaves the next measurement no work of an earlier one: in one table, or in all.
    pub(crate) async fn settle(&self, table: Option<&Table>) {
        if self.is_postgres() {
            self.execute(&format!("VACUUM ANALYZE {}", table.map_or("", |table| table.name))).await;
            self.execute("CHECKPOINT").await;
        } else {
            self.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
        }
    }

    /// Bytes as a literal.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.is_postgres() { format!("'\\x{hex}'::bytea") } else { format!("x'{hex}'") }
    }

    /// A UUID as a literal.
    pub(crate) fn uuid(&self, id: uuid::Uuid) -> String {
        if self.is_postgres() { format!("'{id}'::uuid") } else { format!("x'{}'", id.simple()) }
    }
}
