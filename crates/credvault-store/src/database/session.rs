//! What is read and written outside of the frame of a change.

use std::sync::Arc;

use credvault_crypto::TenantKey;
use credvault_domain::{TenantId, TenantScope, TenantState};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, Statement};

use crate::database::erased::is_erased;
use crate::database::tenant_keys::{TenantKeys, TenantRow, tenant_row};
use crate::database::transaction::{Access, across_tenants, begin, begin_plain, begin_write};
use crate::database::turns::Turn;
use crate::{Database, Error, Store};

/// A reading transaction of a tenant.
pub(crate) struct Reading {
    pub(crate) tx: DatabaseTransaction,
    pub(crate) keys: TenantKeys,
    pub(crate) state: TenantState,
    /// The tenant's turn at what takes long.
    _turn: Option<Turn>,
}

impl Reading {
    /// The key that page tokens are sealed under.
    pub(crate) fn key(&self) -> &Arc<TenantKey> {
        self.keys.newest()
    }
}

impl Store {
    /// Begins to read for a tenant that exists, suspended or not.
    pub(crate) async fn read_any(&self, tenant: &TenantId) -> Result<Reading, Error> {
        let db = self.reader();
        let (tx, keys, TenantRow { state, .. }) = self.begin_with_keys(&db, Access::Read, tenant).await?;
        Ok(Reading { tx, keys, state, _turn: None })
    }

    /// Begins to read what takes no key, for a tenant that exists, suspended or not: administrators read and contain while
    /// the key manager is away.
    pub(crate) async fn look(&self, tenant: &TenantId) -> Result<DatabaseTransaction, Error> {
        let tx = begin(&self.reader(), self.database(), Access::Read, tenant).await?;
        tenant_row(&tx, tenant).await?;
        Ok(tx)
    }

    /// Begins to read for a tenant that is served.
    pub(crate) async fn read(&self, scope: &TenantScope) -> Result<Reading, Error> {
        let reading = self.read_any(scope.tenant()).await?;
        served(scope.tenant(), reading.state)?;
        Ok(reading)
    }

    /// Begins to read a list or the audit log, for a tenant that exists. Such queries have database connections of their
    /// own, and each tenant has its share of these.
    pub(crate) async fn query_any(&self, tenant: &TenantId) -> Result<Reading, Error> {
        self.begin_query(tenant, Access::Read).await
    }

    /// The same for a query that reads several tables as they were at one moment.
    pub(crate) async fn query_snapshot(&self, tenant: &TenantId) -> Result<Reading, Error> {
        self.begin_query(tenant, Access::Snapshot).await
    }

    async fn begin_query(&self, tenant: &TenantId, access: Access) -> Result<Reading, Error> {
        let (db, turns) = self.queries();
        let waiting = tokio::time::timeout(self.settings().acquire_timeout, turns.take(tenant));
        let turn = waiting.await.map_err(|_| Error::TooManyQueries)?;
        let (tx, keys, TenantRow { state, .. }) = self.begin_with_keys(&db, access, tenant).await?;
        Ok(Reading { tx, keys, state, _turn: Some(turn) })
    }

    /// The same for a tenant that is served.
    pub(crate) async fn query(&self, scope: &TenantScope) -> Result<Reading, Error> {
        let reading = self.query_any(scope.tenant()).await?;
        served(scope.tenant(), reading.state)?;
        Ok(reading)
    }

    /// Begins to read across tenants: only tables without sealed bytes have rows then.
    pub(crate) async fn read_background(&self) -> Result<DatabaseTransaction, Error> {
        let tx = begin_plain(&self.reader()).await?;
        across_tenants(&tx, self.database()).await?;
        Ok(tx)
    }

    /// Begins to write rows of a tenant that no fetch depends on and no record names. Every other write is a change
    /// (`change.rs`).
    pub(crate) async fn begin_bookkeeping(&self, tenant: &TenantId) -> Result<DatabaseTransaction, Error> {
        Ok(begin_write(&self.writer(), self.database(), tenant).await?)
    }

    /// Whether a tenant was erased.
    pub(crate) async fn is_erased(&self, tenant: &TenantId) -> Result<bool, Error> {
        let tx = begin(&self.reader(), self.database(), Access::Read, tenant).await?;
        let erased = is_erased(&tx, tenant).await?;
        tx.rollback().await?;
        Ok(erased)
    }

    /// The database's time, in microseconds. Leases are compared with this clock only.
    pub(crate) async fn database_time(&self, tx: &DatabaseTransaction) -> Result<i64, Error> {
        if self.database() == Database::Sqlite {
            return Ok(self.now().micros());
        }
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now";
        let row = tx.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
        Ok(row.ok_or(Error::Integrity)?.try_get("", "now")?)
    }
}

/// Refuses a suspended tenant.
pub(crate) fn served(tenant: &TenantId, state: TenantState) -> Result<(), Error> {
    match state {
        TenantState::Active => Ok(()),
        TenantState::Suspended => Err(Error::TenantSuspended(tenant.clone())),
    }
}
