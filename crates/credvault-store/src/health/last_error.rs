//! What went wrong last with a connection. It stays when the connection works again, with the time of that.

use credvault_domain::{LastError, Timestamp};
use sea_orm::{ConnectionTrait as _, Statement};

use crate::Error;
use crate::change::Change;
use crate::entity::connection;
use crate::entity::connection_health::Model;

/// An error to be remembered.
#[derive(Clone, Copy)]
pub(crate) struct Failure<'a> {
    /// A reason of the public contract.
    pub(crate) reason: &'a str,
    /// The provider's own code.
    pub(crate) code: Option<&'a str>,
    /// Why the next attempt waits.
    pub(crate) pause: Option<&'static str>,
    /// When the next attempt is made.
    pub(crate) retry_time: Option<Timestamp>,
    /// Since when, or from when on, there is nothing to give out until an attempt succeeds.
    pub(crate) down_time: Option<Timestamp>,
    /// The status of the provider's answer.
    pub(crate) status: Option<u16>,
}

impl<'a> Failure<'a> {
    /// An error that says nothing of attempts to come.
    pub(crate) fn shown(reason: &'a str, code: Option<&'a str>, pause: Option<&'static str>) -> Self {
        Self { reason, code, pause, retry_time: None, down_time: None, status: None }
    }
}

/// Remembers an error that a connection has met just now.
///
/// # Errors
/// The database fails.
pub(crate) async fn remember(
    change: &Change<'_>,
    model: &connection::Model,
    failure: Failure<'_>,
) -> Result<(), Error> {
    write(change, model, failure, "").await
}

/// The same for what a test has met, unless the vault is still at an error: it tries again by itself at a known time.
///
/// # Errors
/// The database fails.
pub(crate) async fn remember_of_test(
    change: &Change<'_>,
    model: &connection::Model,
    failure: Failure<'_>,
) -> Result<(), Error> {
    write(change, model, failure, "WHERE connection_health.retry_time IS NULL").await
}

async fn write(
    change: &Change<'_>,
    model: &connection::Model,
    failure: Failure<'_>,
    condition: &'static str,
) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO connection_health (tenant_id, connection_id, error_reason, error_code, error_pause,
            error_time, retry_time, down_time, error_status)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (tenant_id, connection_id) DO UPDATE SET error_reason = excluded.error_reason,
            error_code = excluded.error_code, error_pause = excluded.error_pause, error_time = excluded.error_time,
            retry_time = excluded.retry_time, recover_time = NULL, error_status = excluded.error_status,
            down_time = CASE WHEN connection_health.down_time < excluded.down_time
                THEN connection_health.down_time ELSE excluded.down_time END {condition}"
    );
    let Failure { reason, code, pause, retry_time, down_time, status } = failure;
    let values = [
        model.tenant_id.as_str().into(),
        model.id.into(),
        reason.into(),
        code.into(),
        pause.into(),
        change.now.micros().into(),
        retry_time.map(Timestamp::micros).into(),
        down_time.map(Timestamp::micros).into(),
        status.map(i64::from).into(),
    ];
    let backend = change.tx.get_database_backend();
    change.tx.execute_raw(Statement::from_sql_and_values(backend, &sql, values)).await?;
    Ok(())
}

/// Notes that a connection works again.
///
/// # Errors
/// The database fails.
pub(crate) async fn recover(change: &Change<'_>, model: &connection::Model) -> Result<(), Error> {
    end(change, model, "").await
}

/// The same for a test that works, unless the vault is still at the error.
///
/// # Errors
/// The database fails.
pub(crate) async fn recover_by_test(change: &Change<'_>, model: &connection::Model) -> Result<(), Error> {
    end(change, model, "AND retry_time IS NULL").await
}

async fn end(change: &Change<'_>, model: &connection::Model, condition: &'static str) -> Result<(), Error> {
    let sql = format!(
        "UPDATE connection_health SET recover_time = $3, retry_time = NULL, down_time = NULL
        WHERE tenant_id = $1 AND connection_id = $2 AND error_time IS NOT NULL AND recover_time IS NULL {condition}"
    );
    let values = [model.tenant_id.as_str().into(), model.id.into(), change.now.micros().into()];
    let backend = change.tx.get_database_backend();
    change.tx.execute_raw(Statement::from_sql_and_values(backend, &sql, values)).await?;
    Ok(())
}

/// The error that a row tells of.
pub(super) fn of_row(row: &Model) -> Option<LastError> {
    let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    Some(LastError {
        reason: row.error_reason.clone()?,
        code: row.error_code.clone(),
        pause: row.error_pause.clone(),
        status: row.error_status.and_then(|status| u16::try_from(status).ok()),
        time: time(row.error_time)?,
        retry_time: time(row.retry_time),
        down_time: time(row.down_time),
        recover_time: time(row.recover_time),
    })
}
