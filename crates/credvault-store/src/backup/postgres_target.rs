//! PostgreSQL, loaded by COPY in one transaction of the schema's owner. Until the rows are there, row-level security binds
//! the owner no more, and there are no keys and no indexes: they are made once, of all rows, which is far faster. Other
//! sessions see none of that, for the transaction holds the tables until it ends.

use credvault_migrations::SCHEMA;
use sea_orm::sqlx::postgres::PgCopyIn;
use sea_orm::sqlx::{self, AssertSqlSafe, PgConnection};
use secrecy::SecretString;

use super::copy::{BEGIN, END};
use super::error::{BackupError, malformed};
use super::level::check_migrations;
use super::row::{NextRow, Values, integer};
use super::tables::RESET_COLUMNS;
use crate::database::connect;
use crate::database::prepare::{LOCK, connect_error};
use crate::{Database, StoreSettings};

/// How many bytes of rows are sent at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// The version of the binary form of `jsonb`, which stands in front of the text.
const JSONB_VERSION: u8 = 1;

/// A transaction that rows are loaded in.
pub(super) struct Loading {
    connection: PgConnection,
    /// The statements that bring back keys, indexes and row-level security, and look at what is there.
    rebuild: Vec<String>,
}

/// All tables but the one of migrations, and whether row-level security binds their owner.
const TABLES: &str = "
    SELECT relname::text, relforcerowsecurity FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname <> 'schema_migrations'
    ORDER BY relname";

/// What is dropped, and how it is made again: foreign keys first, for they need the keys that they refer to; those come back
/// before them.
const KEYS_AND_INDEXES: &str = "
    SELECT kind, dropping, making FROM (
        SELECT CASE k.contype WHEN 'f' THEN 1 ELSE 3 END AS kind,
            format('ALTER TABLE %I DROP CONSTRAINT %I', t.relname, k.conname) AS dropping,
            format('ALTER TABLE %I ADD CONSTRAINT %I %s', t.relname, k.conname, pg_get_constraintdef(k.oid)) AS making
        FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
        WHERE k.connamespace = current_schema()::regnamespace AND k.contype IN ('f', 'p', 'u')
            AND t.relname <> 'schema_migrations'
        UNION ALL
        SELECT 2, format('DROP INDEX %I', i.relname), pg_get_indexdef(x.indexrelid)
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        WHERE i.relnamespace = current_schema()::regnamespace AND t.relname <> 'schema_migrations' AND t.relkind = 'r'
            AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x'))
    ) all_of_them ORDER BY kind, dropping";

/// Begins to load an empty database that has these migrations.
pub(super) async fn open(
    settings: &StoreSettings,
    migrate_url: &SecretString,
    owner_role: &str,
    migrations: &[String],
) -> Result<Loading, BackupError> {
    let settings = StoreSettings { url: migrate_url.clone(), ..settings.clone() };
    let pool = connect::preparing(Database::Postgres, &settings).await;
    let pool = pool.map_err(|error| connect_error("store.migrate_url", error))?;
    let mut connection = pool.get_postgres_connection_pool().acquire().await?.detach();
    let begin = format!(
        "BEGIN; SET LOCAL ROLE \"{owner_role}\"; SET LOCAL search_path = {SCHEMA}; SET LOCAL statement_timeout = 0;
         SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '60s';
         SET LOCAL maintenance_work_mem = '256MB'; SELECT pg_advisory_xact_lock({LOCK});
         SET CONSTRAINTS ALL IMMEDIATE"
    );
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut connection).await?;
    let applied = "SELECT version FROM schema_migrations ORDER BY version";
    let applied = sqlx::query_scalar::<_, String>(applied).fetch_all(&mut connection).await?;
    check_migrations(&applied, migrations)?;
    let tables = sqlx::query_as::<_, (String, bool)>(TABLES).fetch_all(&mut connection).await?;
    let names: Vec<String> = tables.iter().map(|(table, _)| table.clone()).collect();
    let mut rebuild = clear_the_way(&mut connection, &names).await?;
    let forced = tables.iter().filter(|(_, forced)| *forced);
    rebuild.extend(forced.map(|(table, _)| format!("ALTER TABLE \"{table}\" FORCE ROW LEVEL SECURITY")));
    // Plans that are made as if the tables were empty would serve for minutes.
    rebuild.extend(names.iter().map(|table| format!("ANALYZE \"{table}\"")));
    Ok(Loading { connection, rebuild })
}

/// Refuses tables with rows, then drops what would slow the load down. Gives the statements that bring it back.
async fn clear_the_way(connection: &mut PgConnection, tables: &[String]) -> Result<Vec<String>, BackupError> {
    for table in tables {
        let free = format!("ALTER TABLE \"{table}\" NO FORCE ROW LEVEL SECURITY");
        sqlx::raw_sql(AssertSqlSafe(free)).execute(&mut *connection).await?;
        let any = format!("SELECT EXISTS (SELECT FROM \"{table}\")");
        let any = sqlx::query_scalar::<_, bool>(AssertSqlSafe(any)).fetch_one(&mut *connection).await?;
        if any {
            return Err(BackupError::NotEmpty(table.clone()));
        }
    }
    let found = sqlx::query_as::<_, (i32, String, String)>(KEYS_AND_INDEXES);
    let found = found.fetch_all(&mut *connection).await?;
    for (_, dropping, _) in &found {
        sqlx::raw_sql(AssertSqlSafe(dropping.as_str())).execute(&mut *connection).await?;
    }
    Ok(found.into_iter().rev().map(|(_, _, making)| making).collect())
}

/// How a value is written for a column.
#[derive(Clone, Copy)]
enum Form {
    AsItIs,
    Truth,
    Json,
    /// 0, whatever it was.
    Reset,
}

async fn forms(
    connection: &mut PgConnection,
    table: &str,
    columns: &[String],
) -> Result<Vec<Form>, BackupError> {
    let sql = "SELECT a.attname::text, format_type(a.atttypid, NULL) FROM pg_attribute a
        WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";
    let known = sqlx::query_as::<_, (String, String)>(sql).bind(table).fetch_all(&mut *connection).await?;
    let form = |column: &String| {
        if RESET_COLUMNS.contains(&(table, column.as_str())) {
            return Ok(Form::Reset);
        }
        let kind = known.iter().find(|(name, _)| name == column).map(|(_, kind)| kind.as_str());
        match kind {
            Some("bigint" | "text" | "bytea" | "uuid") => Ok(Form::AsItIs),
            Some("boolean") => Ok(Form::Truth),
            Some("jsonb") => Ok(Form::Json),
            _ => Err(BackupError::Table(table.to_owned())),
        }
    };
    columns.iter().map(form).collect()
}

/// Loads rows into a table.
pub(super) async fn load(
    loading: &mut Loading,
    table: &str,
    columns: &[String],
    rows: &mut impl NextRow,
) -> Result<(), BackupError> {
    let forms = forms(&mut loading.connection, table, columns).await?;
    let list: Vec<_> = columns.iter().map(|column| format!("\"{column}\"")).collect();
    let copy = format!("COPY \"{table}\" ({}) FROM STDIN (FORMAT binary)", list.join(", "));
    let mut copy: PgCopyIn<&mut PgConnection> = loading.connection.copy_in_raw(&copy).await?;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES * 2);
    chunk.extend_from_slice(BEGIN);
    // An error in between leaves the connection unusable: it is dropped with the transaction.
    while let Some(row) = rows.next()? {
        write(row, &forms, &mut chunk)?;
        if chunk.len() >= CHUNK_BYTES {
            copy.send(chunk.as_slice()).await?;
            chunk.clear();
        }
    }
    chunk.extend_from_slice(&END);
    copy.send(chunk.as_slice()).await?;
    copy.finish().await?;
    Ok(())
}

/// Writes a row as a tuple.
fn write(row: &[u8], forms: &[Form], to: &mut Vec<u8>) -> Result<(), BackupError> {
    to.extend_from_slice(&i16::try_from(forms.len()).map_err(|_| malformed())?.to_be_bytes());
    let mut values = Values(row);
    for form in forms {
        let Some(value) = values.next().ok_or_else(malformed)?? else {
            to.extend_from_slice(&(-1_i32).to_be_bytes());
            continue;
        };
        let length = i32::try_from(value.len()).map_err(|_| malformed())?;
        match form {
            Form::AsItIs => {
                to.extend_from_slice(&length.to_be_bytes());
                to.extend_from_slice(value);
            }
            Form::Json => {
                to.extend_from_slice(&(length + 1).to_be_bytes());
                to.push(JSONB_VERSION);
                to.extend_from_slice(value);
            }
            Form::Truth => {
                to.extend_from_slice(&1_i32.to_be_bytes());
                to.push(u8::from(integer(value)? != 0));
            }
            Form::Reset => {
                to.extend_from_slice(&8_i32.to_be_bytes());
                to.extend_from_slice(&[0; 8]);
            }
        }
    }
    if values.next().is_some() { Err(malformed()) } else { Ok(()) }
}

/// Makes keys, indexes and row-level security again, and everything visible.
pub(super) async fn commit(mut loading: Loading) -> Result<(), BackupError> {
    for statement in loading.rebuild {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut loading.connection).await?;
    }
    sqlx::raw_sql("COMMIT").execute(&mut loading.connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::row::put;

    #[test]
    fn a_row_becomes_a_tuple_in_the_forms_of_its_columns() {
        let mut row = Vec::new();
        let values: [Option<&[u8]>; 5] =
            [Some(b"a"), Some(&1_i64.to_be_bytes()), Some(b"{}"), Some(&9_i64.to_be_bytes()), None];
        for value in values {
            put(&mut row, value).expect("short");
        }
        let forms = [Form::AsItIs, Form::Truth, Form::Json, Form::Reset, Form::Json];
        let mut tuple = Vec::new();
        write(&row, &forms, &mut tuple).expect("a row");
        let mut expected = vec![0, 5, 0, 0, 0, 1, b'a', 0, 0, 0, 1, 1, 0, 0, 0, 3, 1, b'{', b'}', 0, 0, 0, 8];
        expected.extend_from_slice(&[0; 8]);
        expected.extend_from_slice(&[0xff; 4]);
        assert_eq!(tuple, expected);
        assert!(write(&row, &forms[..4], &mut Vec::new()).is_err(), "a value more");
        assert!(write(&row, &[forms.as_slice(), &[Form::Json]].concat(), &mut Vec::new()).is_err());
    }
}
