//! SQLite, read in one transaction, beside the vault that serves it: in WAL mode a reader keeps no writer waiting.

use futures::TryStreamExt as _;
use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{self, AssertSqlSafe, Decode, Row as _, Sqlite, SqliteConnection, ValueRef as _};

use super::error::BackupError;
use super::row::put;
use crate::Store;

/// What a column holds. The tables are strict, so each value is of its column's type.
#[derive(Clone, Copy)]
enum Type {
    Integer,
    Bytes,
}

/// Begins the transaction that reads.
pub(super) async fn open(store: &Store) -> Result<SqliteConnection, BackupError> {
    let reader = store.reader();
    let mut connection = reader.get_sqlite_connection_pool().acquire().await?.detach();
    // The first read makes the moment.
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM schema_migrations").execute(&mut connection).await?;
    Ok(connection)
}

async fn columns(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<(Vec<String>, Vec<Type>), BackupError> {
    let sql = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid";
    let found = sqlx::query_as::<_, (String, String)>(sql).bind(table).fetch_all(&mut *connection).await?;
    let (mut names, mut types) = (Vec::new(), Vec::new());
    for (name, kind) in found {
        types.push(match kind.to_ascii_uppercase().as_str() {
            "INTEGER" => Type::Integer,
            "TEXT" | "BLOB" => Type::Bytes,
            _ => return Err(BackupError::Table(table.to_owned())),
        });
        names.push(name);
    }
    if names.is_empty() { Err(BackupError::Table(table.to_owned())) } else { Ok((names, types)) }
}

/// Reads all rows of a table.
pub(super) async fn table<W>(
    connection: &mut SqliteConnection,
    table: &str,
    writer: &mut W,
    told: impl FnOnce(&mut W, Vec<String>) -> Result<(), BackupError>,
    mut each: impl FnMut(&mut W, &[u8]) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let (names, types) = columns(connection, table).await?;
    let list: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    told(writer, names)?;
    let select = format!("SELECT {} FROM \"{table}\"", list.join(", "));
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(&mut *connection);
    let mut encoded = Vec::new();
    while let Some(row) = rows.try_next().await? {
        encoded.clear();
        encode(&row, &types, &mut encoded)?;
        each(writer, &encoded)?;
    }
    Ok(())
}

fn encode(row: &SqliteRow, types: &[Type], encoded: &mut Vec<u8>) -> Result<(), BackupError> {
    for (index, kind) in types.iter().enumerate() {
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            put(encoded, None)?;
            continue;
        }
        match kind {
            Type::Integer => {
                let number = <i64 as Decode<'_, Sqlite>>::decode(value).map_err(sqlx::Error::Decode)?;
                put(encoded, Some(&number.to_be_bytes()))?;
            }
            Type::Bytes => {
                let bytes = <&[u8] as Decode<'_, Sqlite>>::decode(value).map_err(sqlx::Error::Decode)?;
                put(encoded, Some(bytes))?;
            }
        }
    }
    Ok(())
}
