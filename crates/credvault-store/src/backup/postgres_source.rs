//! PostgreSQL, read by COPY in one repeatable-read transaction, as the role of backups.

use credvault_migrations::{SCHEMA, backup_role};
use futures::TryStreamExt as _;
use sea_orm::sqlx::{self, AssertSqlSafe, PgConnection};
use secrecy::SecretString;

use super::copy::Tuples;
use super::error::BackupError;
use crate::database::connect;
use crate::database::prepare::connect_error;
use crate::{Database, StoreSettings};

/// A table that does not show all rows to the role of the transaction, if there is one.
const HIDDEN: &str = "
    SELECT c.relname::text FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relrowsecurity
        AND NOT EXISTS (SELECT FROM pg_policies p
            WHERE p.schemaname = current_schema() AND p.tablename = c.relname AND p.policyname = 'tenant_select'
                AND strpos(p.qual, 'CURRENT_USER = ' || quote_literal(current_user::text)) > 0)
    LIMIT 1";

/// Begins the transaction that reads.
pub(super) async fn open(
    settings: &StoreSettings,
    migrate_url: &SecretString,
    owner_role: &str,
) -> Result<PgConnection, BackupError> {
    let settings = StoreSettings { url: migrate_url.clone(), ..settings.clone() };
    let pool = connect::preparing(Database::Postgres, &settings).await;
    let pool = pool.map_err(|error| connect_error("store.migrate_url", error))?;
    let mut connection = pool.get_postgres_connection_pool().acquire().await?.detach();
    // Whether a backup may take longer than a call is the operator's to decide, not the server's default for calls.
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL ROLE \"{}\"; SET LOCAL search_path = {SCHEMA};
         SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0",
        backup_role(owner_role)
    );
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut connection).await?;
    let hidden = sqlx::query_scalar::<_, String>(HIDDEN).fetch_optional(&mut connection).await?;
    match hidden {
        // Silence here would be a backup that lacks tenants.
        Some(table) => Err(BackupError::Hidden(table)),
        None => Ok(connection),
    }
}

/// The columns of a table, each with the expression that reads it: what the encoding has no form for is made a number or a
/// text by the server.
async fn columns(
    connection: &mut PgConnection,
    table: &str,
) -> Result<(Vec<String>, Vec<String>), BackupError> {
    let sql = "SELECT a.attname::text, format_type(a.atttypid, NULL) FROM pg_attribute a
        WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let found = sqlx::query_as::<_, (String, String)>(sql).bind(table).fetch_all(&mut *connection).await?;
    let (mut names, mut read) = (Vec::new(), Vec::new());
    for (name, kind) in found {
        read.push(match kind.as_str() {
            "bigint" | "text" | "bytea" | "uuid" => format!("\"{name}\""),
            "boolean" => format!("\"{name}\"::int::bigint"),
            "jsonb" => format!("\"{name}\"::text"),
            _ => return Err(BackupError::Table(table.to_owned())),
        });
        names.push(name);
    }
    if names.is_empty() { Err(BackupError::Table(table.to_owned())) } else { Ok((names, read)) }
}

/// Reads all rows of a table.
pub(super) async fn table<W>(
    connection: &mut PgConnection,
    table: &str,
    writer: &mut W,
    told: impl FnOnce(&mut W, Vec<String>) -> Result<(), BackupError>,
    mut each: impl FnMut(&mut W, &[u8]) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let (names, read) = columns(connection, table).await?;
    told(writer, names)?;
    let copy = format!("COPY (SELECT {} FROM \"{table}\") TO STDOUT (FORMAT binary)", read.join(", "));
    let mut chunks = connection.copy_out_raw(&copy).await?;
    let mut tuples = Tuples::default();
    while let Some(chunk) = chunks.try_next().await? {
        tuples.take(&chunk, &mut |row: &[u8]| each(writer, row))?;
    }
    tuples.end()
}
