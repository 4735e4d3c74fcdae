//! Transactions with a tenant: on PostgreSQL row-level security sees the tenant that is set here, and only it.

use std::sync::Arc;

use credvault_crypto::TenantKey;
use credvault_domain::{TenantId, TenantScope, TenantState};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait,
};

use crate::{Database, Error, Store, Turn};

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

/// A reading transaction of a tenant that is served.
pub(crate) struct Reading {
    pub(crate) tx: DatabaseTransaction,
    pub(crate) key: Arc<TenantKey>,
    /// The tenant's turn at what takes long.
    _turn: Option<Turn>,
}

impl Store {
    /// Begins to read for a tenant that exists, suspended or not.
    pub(crate) async fn read_any(&self, tenant: &TenantId) -> Result<(Reading, TenantState), Error> {
        let tx = self.reader().begin().await?;
        set_tenant(&tx, self.database(), tenant).await?;
        let (key, state) = self.tenant_key(&tx, tenant).await?;
        Ok((Reading { tx, key, _turn: None }, state))
    }

    /// Begins to read a list or a query of the log: on connections of their own, of which each tenant has its share.
    pub(crate) async fn query_any(&self, tenant: &TenantId) -> Result<(Reading, TenantState), Error> {
        let (db, turns) = self.queries();
        let waiting = tokio::time::timeout(self.settings().acquire_timeout, turns.take(tenant));
        let turn = waiting.await.map_err(|_| Error::TooManyQueries)?;
        let tx = db.begin().await?;
        set_tenant(&tx, self.database(), tenant).await?;
        let (key, state) = self.tenant_key(&tx, tenant).await?;
        Ok((Reading { tx, key, _turn: Some(turn) }, state))
    }

    /// The same for a tenant that is served.
    pub(crate) async fn query(&self, scope: &TenantScope) -> Result<Reading, Error> {
        let (reading, state) = self.query_any(scope.tenant()).await?;
        served(scope.tenant(), state)?;
        Ok(reading)
    }

    /// Begins to read for a tenant that is served.
    pub(crate) async fn read(&self, scope: &TenantScope) -> Result<Reading, Error> {
        let (reading, state) = self.read_any(scope.tenant()).await?;
        served(scope.tenant(), state)?;
        Ok(reading)
    }

    /// Begins to read across tenants: only tables without sealed bytes have rows then.
    pub(crate) async fn read_background(&self) -> Result<DatabaseTransaction, Error> {
        let tx = self.reader().begin().await?;
        across_tenants(&tx, self.database()).await?;
        Ok(tx)
    }

    /// The tenant's state and its newest key.
    pub(crate) async fn tenant_key<C: ConnectionTrait>(
        &self,
        db: &C,
        tenant: &TenantId,
    ) -> Result<(Arc<TenantKey>, TenantState), Error> {
        let sql = "SELECT t.state, k.version, k.wrapped FROM tenants t
            LEFT JOIN tenant_keys k ON k.tenant_id = t.tenant_id
            WHERE t.tenant_id = $1 ORDER BY k.version DESC LIMIT 1";
        let statement =
            Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
        let row = db.query_one_raw(statement).await?.ok_or_else(|| Error::TenantNotFound(tenant.clone()))?;
        let state: String = row.try_get("", "state")?;
        let state = TenantState::from_stored(&state).ok_or(Error::Integrity)?;
        let version: Option<i64> = row.try_get("", "version")?;
        let wrapped: Option<Vec<u8>> = row.try_get("", "wrapped")?;
        let (Some(version), Some(wrapped)) = (version, wrapped) else { return Err(Error::Integrity) };
        let version = u32::try_from(version).map_err(|_| Error::Integrity)?;
        let key = self.keyring().unwrap(tenant, version, &wrapped);
        if matches!(key, Err(credvault_crypto::Error::Integrity)) {
            crate::credentials::integrity::alarm(tenant, "tenant_key", [0; 16]);
        }
        Ok((key?, state))
    }
}

/// Refuses a suspended tenant.
pub(crate) fn served(tenant: &TenantId, state: TenantState) -> Result<(), Error> {
    match state {
        TenantState::Active => Ok(()),
        TenantState::Suspended => Err(Error::TenantSuspended(tenant.clone())),
    }
}
