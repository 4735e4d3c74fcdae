//! Rows that a statement gets in one parameter, a JSON array of arrays: one statement for any number of rows.
//!
//! Such a statement also looks rows up: row by row, by an index. A list of values, as `IN` takes it, may have PostgreSQL
//! look at every row of a tenant, because it plans with what it knew of the table when that was small.

use sea_orm::DbErr;
use serde::Serialize;

use crate::Database;

/// What a value of a row becomes in the database.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Uuid,
    Text,
    Number,
    Truth,
    /// Written in hexadecimal digits.
    Bytes,
}

/// The rows as the parameter has them.
pub(crate) fn encode(rows: &impl Serialize) -> Result<String, DbErr> {
    serde_json::to_string(rows).map_err(|error| DbErr::Json(error.to_string()))
}

/// The item of `FROM` that gives the rows of the parameter `$2`.
pub(crate) const fn rows(database: Database) -> &'static str {
    match database {
        Database::Postgres => "jsonb_array_elements(CAST($2 AS jsonb)) AS r(value)",
        Database::Sqlite => "json_each($2) AS r",
    }
}

/// The value at a path of a row, such as `0` or `1,3`.
pub(crate) fn value(database: Database, path: &str, kind: Kind) -> String {
    let taken = match database {
        Database::Postgres => format!("(r.value #>> '{{{path}}}')"),
        Database::Sqlite => format!("(r.value ->> '$[{}]')", path.replace(',', "][")),
    };
    match (database, kind) {
        (Database::Postgres, Kind::Uuid) => format!("CAST({taken} AS uuid)"),
        (Database::Sqlite, Kind::Uuid | Kind::Bytes) => format!("unhex({taken})"),
        (Database::Postgres, Kind::Bytes) => format!("decode({taken}, 'hex')"),
        (Database::Postgres, Kind::Truth) => format!("CAST({taken} AS boolean)"),
        (Database::Postgres, Kind::Number) => format!("CAST({taken} AS bigint)"),
        (Database::Postgres | Database::Sqlite, Kind::Text)
        | (Database::Sqlite, Kind::Number | Kind::Truth) => taken,
    }
}
