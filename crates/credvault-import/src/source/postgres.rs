//! Rows of a PostgreSQL database, read through a cursor in one read-only transaction: all of one moment, a few hundred in
//! memory. The database itself turns each row into JSON, so no type of a column is unknown here.

use std::collections::VecDeque;
use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::rows::{BadRow, SourceError, Where};
use crate::record::Record;

/// How many rows are read at once.
const ROWS_AT_ONCE: usize = 500;

/// The rows of a database.
pub(super) struct Rows {
    connection: PgConnection,
    ahead: VecDeque<String>,
    ended: bool,
    number: u64,
    /// How many rows the database expects to give.
    expected: Option<u64>,
}

impl Rows {
    pub(super) async fn open(url: &str, rows: &Where) -> Result<Self, SourceError> {
        let options = PgConnectOptions::from_str(url).map_err(|_| SourceError::Address)?;
        // Statements could show the query's constants in a log.
        let options = options.application_name("credvault import").disable_statement_logging();
        let query = match rows {
            Where::Table(table) => format!("SELECT * FROM {}", quoted(table)?),
            Where::Query(query) => query.clone(),
        };
        let mut connection = PgConnection::connect_with(&options).await.map_err(failed)?;
        // With row security off, the database refuses what its policies would leave out, instead of leaving it out.
        let begin = "BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ; SET LOCAL row_security = off";
        connection.execute(begin).await.map_err(failed)?;
        let explain = AssertSqlSafe(format!("EXPLAIN SELECT * FROM ({query}) AS r"));
        let plan: String =
            connection.fetch_one(explain).await.and_then(|plan| plan.try_get(0)).map_err(failed)?;
        let declare =
            format!("DECLARE moving NO SCROLL CURSOR FOR SELECT to_jsonb(r)::text FROM ({query}) AS r");
        connection.execute(AssertSqlSafe(declare)).await.map_err(failed)?;
        let expected = expected(&plan);
        Ok(Self { connection, ahead: VecDeque::new(), ended: false, number: 0, expected })
    }

    pub(super) fn expected(&self) -> Option<u64> {
        self.expected
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) async fn next(&mut self) -> Result<Option<Result<Record, BadRow>>, SourceError> {
        if self.ahead.is_empty() && !self.ended {
            let fetch = AssertSqlSafe(format!("FETCH {ROWS_AT_ONCE} FROM moving"));
            let rows = self.connection.fetch_all(fetch).await.map_err(failed)?;
            self.ended = rows.len() < ROWS_AT_ONCE;
            for row in rows {
                self.ahead.push_back(row.try_get(0).map_err(failed)?);
            }
        }
        self.number += 1;
        Ok(self.ahead.pop_front().map(|text| {
            let row = Record::read(text.as_bytes());
            row.ok_or(BadRow { number: self.number, problem: "it is no JSON object" })
        }))
    }
}

/// The number of rows in the first line of a plan, such as `Seq Scan on a  (cost=0.00..35.50 rows=2550 width=4)`.
fn expected(plan: &str) -> Option<u64> {
    let (_, after) = plan.rsplit_once("rows=")?;
    after.split(' ').next()?.parse().ok()
}

/// The name of a table as SQL writes it. Names that are quoted already stay as they are.
fn quoted(table: &str) -> Result<String, SourceError> {
    let part = |part: &str| {
        let inner = part.strip_prefix('"').and_then(|part| part.strip_suffix('"')).unwrap_or(part);
        let fits = !inner.is_empty() && inner.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        fits.then(|| format!("\"{inner}\"")).ok_or(SourceError::Table)
    };
    let parts: Vec<String> = table.split('.').map(part).collect::<Result<_, _>>()?;
    if parts.len() <= 2 { Ok(parts.join(".")) } else { Err(SourceError::Table) }
}

/// Classes of SQLSTATE whose messages are about the connection, the rights and the query: syntax and access, invalid
/// authorization, unknown database, connection, grantor, transaction. Messages of all others may quote values of rows.
const CLASSES_WITHOUT_VALUES: [&str; 6] = ["42", "28", "3D", "08", "0L", "25"];

/// The SQLSTATE of a refused permission, also of the one to read what a policy of row security would leave out.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// The message of the server where it is about no row, else its code. Details quote values of rows, so none is kept.
fn failed(error: sqlx::Error) -> SourceError {
    SourceError::Database(match error.as_database_error() {
        Some(error) => {
            let code = error.code().unwrap_or_default();
            told(&code, error.message())
        }
        None if matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_)) => {
            "it cannot be reached".to_owned()
        }
        None => "it does not answer as PostgreSQL does".to_owned(),
    })
}

fn told(code: &str, message: &str) -> String {
    if code == INSUFFICIENT_PRIVILEGE {
        let way_out = "connect as a role that has SELECT there and, under row security, BYPASSRLS";
        return format!("{message}; {way_out}");
    }
    if code.get(..2).is_some_and(|class| CLASSES_WITHOUT_VALUES.contains(&class)) {
        return message.to_owned();
    }
    let code =
        if code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()) { code } else { "?" };
    format!("SQLSTATE {code}; its message may quote a row, so only the database's own log has it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_that_are_about_no_row_are_kept() {
        assert_eq!(told("42P01", "relation \"a\" does not exist"), "relation \"a\" does not exist");
        let policy = "query would be affected by row-level security policy for table \"a\"";
        assert!(told("42501", policy).starts_with(policy) && told("42501", policy).contains("BYPASSRLS"));
        for (code, shown) in [("22P02", "22P02"), ("P0001", "P0001"), ("", "?"), ("CANARY", "?")] {
            let told = told(code, "invalid input: CANARY");
            assert!(told.starts_with(&format!("SQLSTATE {shown};")) && !told.contains("CANARY"), "{told}");
        }
    }

    #[test]
    fn a_plan_says_how_many_rows_are_expected() {
        assert_eq!(expected("Seq Scan on \"a rows=7\"  (cost=0.00..35.50 rows=2550 width=4)"), Some(2550));
        assert_eq!(expected("Result"), None);
    }

    #[test]
    fn a_table_is_a_name_and_nothing_else() {
        assert_eq!(
            quoted("public.UserIntegrationCredentials").ok(),
            Some("\"public\".\"UserIntegrationCredentials\"".to_owned())
        );
        assert_eq!(quoted("\"Table\"").ok(), Some("\"Table\"".to_owned()));
        for wrong in ["", "a; DROP TABLE b", "a.b.c", "a\"b"] {
            assert!(quoted(wrong).is_err(), "{wrong}");
        }
    }
}
