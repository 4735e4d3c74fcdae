//! The one row that says which process sequences the audit log. Each holder has an epoch of its own: a process that was stopped
//! and wakes up finds another one in the row, and its transaction changes nothing.

use std::time::Duration;

use credvault_domain::{TenantId, Timestamp};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, Statement};

use crate::database::pieces::execute;
use crate::database::transaction::{Access, begin};
use crate::{Error, Store};

/// How long a holder may be silent before another process takes over.
const LEASE: Duration = Duration::from_secs(3);
/// How often the lease is asked for while another process has it, and extended by its holder.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

fn lease_time(now: i64) -> i64 {
    Timestamp::from_micros(now).after(LEASE).micros()
}

/// Lets PostgreSQL end the transaction if its process says nothing for as long as a lease lasts: the process was stopped, and
/// would keep the row locked, so that no other process could take over.
async fn end_if_silent(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    if tx.get_database_backend() == DbBackend::Postgres {
        let sql = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)";
        let values = [LEASE.as_millis().to_string().into()];
        tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    }
    Ok(())
}

/// Takes the lease, unless another process holds it, and gives the epoch. A process takes it over from itself at once.
pub(super) async fn take(store: &Store) -> Result<Option<i64>, Error> {
    let platform = TenantId::platform();
    let tx = store.begin_bookkeeping(&platform).await?;
    end_if_silent(&tx).await?;
    let now = store.database_time(&tx).await?;
    let sql = "INSERT INTO audit_sequencer (tenant_id, epoch, process_id, lease_time) VALUES ($1, 1, $2, $3)
        ON CONFLICT (tenant_id) DO UPDATE SET epoch = audit_sequencer.epoch + 1, process_id = excluded.process_id,
            lease_time = excluded.lease_time
        WHERE audit_sequencer.lease_time < $4 OR audit_sequencer.process_id = excluded.process_id
        RETURNING epoch";
    let values = [platform.as_str().into(), store.process().into(), lease_time(now).into(), now.into()];
    let taken = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let epoch = tx.query_one_raw(taken).await?.map(|row| row.try_get("", "epoch")).transpose()?;
    tx.commit().await?;
    Ok(epoch)
}

/// Extends the lease in a transaction of the platform, which then stands only if the lease is still this epoch's.
///
/// # Errors
/// [`Error::Conflict`] if it is not.
pub(super) async fn extend(store: &Store, tx: &DatabaseTransaction, epoch: i64) -> Result<(), Error> {
    end_if_silent(tx).await?;
    let lease = lease_time(store.database_time(tx).await?);
    let sql = "UPDATE audit_sequencer SET lease_time = $3 WHERE tenant_id = $1 AND epoch = $2";
    let values = [TenantId::PLATFORM.into(), epoch.into(), lease.into()];
    if execute(tx, sql, values).await? == 1 { Ok(()) } else { Err(Error::Conflict) }
}

/// Extends the lease while there is nothing to do.
pub(super) async fn keep(store: &Store, epoch: i64) -> Result<(), Error> {
    let tx = store.begin_bookkeeping(&TenantId::platform()).await?;
    extend(store, &tx, epoch).await?;
    Ok(tx.commit().await?)
}

/// Does work that may take longer than the lease lasts, and extends the lease meanwhile.
///
/// # Errors
/// [`Error::Conflict`] if another process has the lease; the errors of the work.
pub(super) async fn beside<T>(
    store: &Store,
    epoch: i64,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let keeping = async {
        loop {
            tokio::time::sleep(INTERVAL).await;
            // After any other error it is tried again: the transaction of the round finds out whether the lease was lost.
            if matches!(keep(store, epoch).await, Err(Error::Conflict)) {
                return;
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = keeping => Err(Error::Conflict),
    }
}

/// Gives the lease away, so that another process need not wait for its end.
pub(super) async fn give_up(store: &Store, epoch: i64) -> Result<(), Error> {
    let tx = store.begin_bookkeeping(&TenantId::platform()).await?;
    let sql = "UPDATE audit_sequencer SET lease_time = 0 WHERE tenant_id = $1 AND epoch = $2";
    execute(&tx, sql, [TenantId::PLATFORM.into(), epoch.into()]).await?;
    Ok(tx.commit().await?)
}

/// Whether this process holds the lease now.
pub(super) async fn is_held(store: &Store) -> Result<bool, Error> {
    let platform = TenantId::platform();
    let tx = begin(&store.reader(), store.database(), Access::Read, &platform).await?;
    let now = store.database_time(&tx).await?;
    let sql =
        "SELECT 1 AS one FROM audit_sequencer WHERE tenant_id = $1 AND process_id = $2 AND lease_time >= $3";
    let values = [platform.as_str().into(), store.process().into(), now.into()];
    let held = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let is_held = tx.query_one_raw(held).await?.is_some();
    tx.rollback().await?;
    Ok(is_held)
}
