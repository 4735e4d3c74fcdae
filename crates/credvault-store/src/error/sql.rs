//! What an error of the database says of its cause.

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

/// The code by which the database names an error.
pub(crate) fn sql_state(error: &DbErr) -> Option<String> {
    let (DbErr::Conn(RuntimeErr::SqlxError(source))
    | DbErr::Exec(RuntimeErr::SqlxError(source))
    | DbErr::Query(RuntimeErr::SqlxError(source))) = error
    else {
        return None;
    };
    Some(source.as_database_error()?.code()?.into_owned())
}

/// Whether `error` is about a stored value that is not what its column holds: it was altered past the vault.
pub(super) fn does_not_decode(error: &DbErr) -> bool {
    if let DbErr::Conn(RuntimeErr::SqlxError(source))
    | DbErr::Exec(RuntimeErr::SqlxError(source))
    | DbErr::Query(RuntimeErr::SqlxError(source)) = error
    {
        return matches!(**source, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_));
    }
    matches!(error, DbErr::Type(_) | DbErr::Json(_))
}

/// Whether `error` says that the database's URL cannot be used. The driver repeats the URL, or a part of it, in its message.
pub(crate) fn of_the_url(error: &DbErr) -> bool {
    if let DbErr::Conn(RuntimeErr::SqlxError(source)) = error {
        return matches!(**source, sqlx::Error::Configuration(_));
    }
    matches!(error, DbErr::Conn(RuntimeErr::Internal(_)))
}

/// Whether `error` is about the data that was sent, and not about the database: SQLSTATE classes 22 and 23, and SQLite's
/// constraint, mismatch, too big.
pub(crate) fn of_the_data(error: &DbErr) -> bool {
    sql_state(error).is_some_and(|code| match code.parse::<u32>() {
        Ok(code) if code < 10_000 => matches!(code & 0xff, 18..=20),
        _ => code.starts_with("22") || code.starts_with("23"),
    })
}

/// Whether `error` is about the statement that was sent, with its data: the database answers the next one. Beside errors of the
/// data, PostgreSQL's limits of a statement and its timeout.
pub(crate) fn of_the_statement(error: &DbErr) -> bool {
    of_the_data(error) || sql_state(error).is_some_and(|code| code.starts_with("54") || code == "57014")
}

/// Whether `error` is a violation of a unique index: PostgreSQL names the index, SQLite its columns.
pub(crate) fn violates(error: &DbErr, index: &str, column: &str) -> bool {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(message)) => {
            message.contains(index) || message.contains(column)
        }
        _ => false,
    }
}

/// Whether rows were not deleted because others refer to them.
pub(crate) fn still_referenced(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_)))
}
