//! Beginning transactions. On PostgreSQL row-level security sees the tenant that is set here, and only that tenant.

use credvault_domain::TenantId;
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait as _,
};

use crate::Database;

/// Begins a transaction that will write for `tenant`. On SQLite it takes the write lock at once, for a lock taken
/// after a read could find the read outdated.
pub(crate) async fn begin_write(
    db: &DatabaseConnection,
    database: Database,
    tenant: &TenantId,
) -> Result<DatabaseTransaction, DbErr> {
    let immediate = Some(SqliteTransactionMode::Immediate);
    let options = TransactionOptions {
        sqlite_transaction_mode: immediate.filter(|_| database == Database::Sqlite),
        ..TransactionOptions::default()
    };
    let tx = db.begin_with_options(options).await?;
    set_tenant(&tx, database, tenant).await?;
    Ok(tx)
}

/// What a transaction will do.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Begins a transaction of `tenant`.
pub(crate) async fn begin(
    db: &DatabaseConnection,
    database: Database,
    access: Access,
    tenant: &TenantId,
) -> Result<DatabaseTransaction, DbErr> {
    match access {
        Access::Write => begin_write(db, database, tenant).await,
        Access::Read => {
            let tx = db.begin().await?;
            set_tenant(&tx, database, tenant).await?;
            Ok(tx)
        }
    }
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
