//! SQLite, loaded in one transaction that holds the write lock from its begin.

use sea_orm::sqlx::{self, AssertSqlSafe, Sqlite, SqliteConnection};

use super::error::{BackupError, malformed};
use super::level::check_migrations;
use super::row::{NextRow, Values, integer, text};
use super::tables::RESET_COLUMNS;
use crate::database::connect;
use crate::database::prepare::connect_error;
use crate::{Database, StoreSettings};

/// How many values one statement has at most; SQLite takes 32,766.
const MAX_VALUES: usize = 16_000;
/// How many rows one statement has at most.
const MAX_ROWS: usize = 200;

/// All tables but SQLite's own and the one of migrations.
const TABLES: &str = "SELECT name FROM sqlite_master
    WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> 'schema_migrations' ORDER BY name";

/// Begins to load an empty database that has these migrations.
pub(super) async fn open(
    settings: &StoreSettings,
    migrations: &[String],
) -> Result<SqliteConnection, BackupError> {
    let pool = connect::preparing(Database::Sqlite, settings).await;
    let pool = pool.map_err(|error| connect_error("store.url", error))?;
    let mut connection = pool.get_sqlite_connection_pool().acquire().await?.detach();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await?;
    let applied = "SELECT version FROM schema_migrations ORDER BY version";
    let applied = sqlx::query_scalar::<_, String>(applied).fetch_all(&mut connection).await?;
    check_migrations(&applied, migrations)?;
    for table in sqlx::query_scalar::<_, String>(TABLES).fetch_all(&mut connection).await? {
        let any = format!("SELECT EXISTS (SELECT 1 FROM \"{table}\")");
        let any = sqlx::query_scalar::<_, i64>(AssertSqlSafe(any)).fetch_one(&mut connection).await?;
        if any != 0 {
            return Err(BackupError::NotEmpty(table));
        }
    }
    Ok(connection)
}

/// How a value is bound for a column.
#[derive(Clone, Copy)]
enum Form {
    Integer,
    Text,
    Bytes,
    /// 0, whatever it was.
    Reset,
}

async fn forms(
    connection: &mut SqliteConnection,
    table: &str,
    columns: &[String],
) -> Result<Vec<Form>, BackupError> {
    let sql = "SELECT name, type FROM pragma_table_info($1)";
    let known = sqlx::query_as::<_, (String, String)>(sql).bind(table).fetch_all(&mut *connection).await?;
    let form = |column: &String| {
        if RESET_COLUMNS.contains(&(table, column.as_str())) {
            return Ok(Form::Reset);
        }
        let kind = known.iter().find(|(name, _)| name == column).map(|(_, kind)| kind.to_ascii_uppercase());
        match kind.as_deref() {
            Some("INTEGER") => Ok(Form::Integer),
            Some("TEXT") => Ok(Form::Text),
            Some("BLOB") => Ok(Form::Bytes),
            _ => Err(BackupError::Table(table.to_owned())),
        }
    };
    columns.iter().map(form).collect()
}

/// Loads rows into a table.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    table: &str,
    columns: &[String],
    rows: &mut impl NextRow,
) -> Result<(), BackupError> {
    let forms = forms(connection, table, columns).await?;
    let most = (MAX_VALUES / columns.len().max(1)).clamp(1, MAX_ROWS);
    let full = insert(table, columns, most);
    let mut waiting: Vec<Vec<u8>> = Vec::with_capacity(most);
    while let Some(row) = rows.next()? {
        waiting.push(row.to_vec());
        if waiting.len() == most {
            store(connection, full.clone(), &forms, &waiting).await?;
            waiting.clear();
        }
    }
    if waiting.is_empty() {
        return Ok(());
    }
    store(connection, insert(table, columns, waiting.len()), &forms, &waiting).await
}

/// The statement that inserts so many rows.
fn insert(table: &str, columns: &[String], rows: usize) -> String {
    let list: Vec<_> = columns.iter().map(|column| format!("\"{column}\"")).collect();
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    format!("INSERT INTO \"{table}\" ({}) VALUES {}", list.join(", "), vec![row.as_str(); rows].join(", "))
}

async fn store(
    connection: &mut SqliteConnection,
    sql: String,
    forms: &[Form],
    rows: &[Vec<u8>],
) -> Result<(), BackupError> {
    let mut query = sqlx::query::<Sqlite>(AssertSqlSafe(sql));
    for row in rows {
        let mut values = Values(row);
        for form in forms {
            let value = values.next().ok_or_else(malformed)??;
            query = match (value, form) {
                (None, _) => query.bind(None::<i64>),
                (Some(_), Form::Reset) => query.bind(0_i64),
                (Some(value), Form::Integer) => query.bind(integer(value)?),
                (Some(value), Form::Text) => query.bind(text(value)?),
                (Some(value), Form::Bytes) => query.bind(value),
            };
        }
        if values.next().is_some() {
            return Err(malformed());
        }
    }
    query.execute(&mut *connection).await?;
    Ok(())
}
