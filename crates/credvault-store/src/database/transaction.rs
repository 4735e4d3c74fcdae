//! Beginning transactions. On PostgreSQL row-level security sees the tenant that is set here, and only that tenant.

use std::pin::Pin;
use std::task::{Context, Poll};

use credvault_domain::TenantId;
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _,
};

use crate::Database;

/// Begins a transaction that will write for `tenant`. On SQLite it takes the write lock at once, for a lock taken
/// after a read could find the read outdated.
pub(crate) async fn begin_write(
    db: &DatabaseConnection,
    database: Database,
    tenant: &TenantId,
) -> Result<DatabaseTransaction, DbErr> {
    begin(db, database, Access::Write, tenant).await
}

/// Begins a transaction without a tenant.
async fn begin_unset(
    db: &DatabaseConnection,
    database: Database,
    access: Access,
) -> Result<DatabaseTransaction, DbErr> {
    let writes_to_sqlite = database == Database::Sqlite && matches!(access, Access::Write);
    // A transaction of SQLite sees one moment anyway.
    let is_snapshot = database == Database::Postgres && matches!(access, Access::Snapshot);
    let options = TransactionOptions {
        isolation_level: is_snapshot.then_some(IsolationLevel::RepeatableRead),
        sqlite_transaction_mode: writes_to_sqlite.then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    begin_whole(db, options).await
}

/// Begins a transaction that reads and has no tenant yet, or that writes on PostgreSQL only.
pub(crate) async fn begin_plain(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    begin_whole(db, TransactionOptions::default()).await
}

async fn begin_whole(
    db: &DatabaseConnection,
    options: TransactionOptions,
) -> Result<DatabaseTransaction, DbErr> {
    let db = db.clone();
    Whole(Some(Box::pin(async move { db.begin_with_options(options).await }))).await
}

/// The beginning of a transaction. It is carried to its end if the caller goes away: sqlx forgets a BEGIN that was sent and not
/// answered yet, so the connection would come back to the pool inside of a transaction, and what is written there next by a
/// single statement would never be committed.
struct Whole(Option<Beginning>);

type Beginning = Pin<Box<dyn Future<Output = Result<DatabaseTransaction, DbErr>> + Send>>;

impl Future for Whole {
    type Output = Result<DatabaseTransaction, DbErr>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(beginning) = &mut self.0 else { return Poll::Pending };
        let begun = beginning.as_mut().poll(cx);
        if begun.is_ready() {
            self.0 = None;
        }
        begun
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(beginning) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // What has begun is dropped there, which undoes it.
            runtime.spawn(beginning);
        }
    }
}

/// The first number of the advisory locks about keys of tenants, whose second one is a hash of tenant and version: "keys".
const KEY_LOCKS: i32 = 0x6b65_7973;

/// Begins a transaction of `tenant` that shares its key of this version: a rotation seals nothing anew before all that
/// share an older key have ended. `None` if that key is being left.
pub(crate) async fn begin_sharing(
    db: &DatabaseConnection,
    database: Database,
    access: Access,
    tenant: &TenantId,
    version: u32,
) -> Result<Option<DatabaseTransaction>, DbErr> {
    let tx = begin_unset(db, database, access).await?;
    // A transaction of SQLite sees keys and rows as they were at one moment.
    if database == Database::Postgres {
        let sql = "SELECT set_config('credvault.tenant', $1, true) AS tenant,
            pg_try_advisory_xact_lock_shared($2, hashtext($1 || ':' || $3)) AS shared";
        let values = [tenant.as_str().into(), KEY_LOCKS.into(), version.to_string().into()];
        let row = tx.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
        let row = row.ok_or_else(|| DbErr::Custom("the server answered no row".to_owned()))?;
        if !row.try_get::<bool>("", "shared")? {
            tx.rollback().await?;
            return Ok(None);
        }
    }
    Ok(Some(tx))
}

/// Waits until no transaction shares the key of this version any more; `tx` does nothing else.
pub(crate) async fn await_sharers(
    tx: &DatabaseTransaction,
    database: Database,
    tenant: &TenantId,
    version: u32,
) -> Result<(), DbErr> {
    if database == Database::Postgres {
        let sql = "SELECT pg_advisory_xact_lock($1, hashtext($2 || ':' || $3))";
        let values = [KEY_LOCKS.into(), tenant.as_str().into(), version.to_string().into()];
        tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    }
    Ok(())
}

/// The first number of the advisory locks about accounts at providers, whose second one is a hash of the account: "acct".
const ACCOUNT_LOCKS: i32 = 0x6163_6374;

/// Waits until no other transaction has this lock, and holds it until the end of `tx`. SQLite has one writer anyway.
pub(crate) async fn lock_account(
    tx: &DatabaseTransaction,
    database: Database,
    account: &str,
) -> Result<(), DbErr> {
    if database == Database::Postgres {
        let sql = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
        let values = [ACCOUNT_LOCKS.into(), account.into()];
        tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    }
    Ok(())
}

/// The first number of the advisory locks about tenants' audit logs, whose second one is a hash of the tenant: "logs".
const LOG_LOCKS: i32 = 0x6c6f_6773;

/// Waits until no other transaction has the lock of a tenant's audit log, and holds it until the end of `tx`: it is for what
/// depends on which bundles there are. SQLite has one writer anyway.
pub(crate) async fn lock_log(
    tx: &DatabaseTransaction,
    database: Database,
    tenant: &TenantId,
) -> Result<(), DbErr> {
    if database == Database::Postgres {
        let sql = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
        let values = [LOG_LOCKS.into(), tenant.as_str().into()];
        tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    }
    Ok(())
}

/// What a transaction will do.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Read,
    /// It reads all tables as they were at one moment.
    Snapshot,
    Write,
}

/// Begins a transaction of `tenant`.
pub(crate) async fn begin(
    db: &DatabaseConnection,
    database: Database,
    access: Access,
    tenant: &TenantId,
) -> Result<DatabaseTransaction, DbErr> {
    let tx = begin_unset(db, database, access).await?;
    set_tenant(&tx, database, tenant).await?;
    Ok(tx)
}

/// Sets the tenant until the end of the transaction.
pub(crate) async fn set_tenant(
    tx: &DatabaseTransaction,
    database: Database,
    tenant: &TenantId,
) -> Result<(), DbErr> {
    if database == Database::Postgres {
        let sql = "SELECT set_config('credvault.tenant', $1, true)";
        tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, [tenant.as_str().into()]))
            .await?;
    }
    Ok(())
}

/// Lets a transaction read, until its end, the tables without sealed bytes of all tenants.
pub(crate) async fn across_tenants(tx: &DatabaseTransaction, database: Database) -> Result<(), DbErr> {
    if database == Database::Postgres {
        let sql = "SELECT set_config('credvault.background', 'on', true)";
        tx.execute_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    }
    Ok(())
}
