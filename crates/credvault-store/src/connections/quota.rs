//! Quotas: how many connections a tenant, and a user of it, may have, deleted ones that are not purged yet included.
//!
//! The vault counts connections over an index when one is created, at most up to the quota, because a counter row would
//! make creations queue. A tenant's count can be long, so the processes that may be creating share what is left of the
//! quota: each may use a sixteenth of it within a minute before it counts again, so the vault counts often only where
//! the quota is near.
//!
//! Creations that count at the same moment do not see each other, so a quota can be exceeded by the number of creations
//! in progress; a tenant's also by the shares of further processes, if more than sixteen create connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use credvault_domain::{Owner, TenantId, UserId};
use moka::sync::Cache;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement, Value};

use crate::{Error, StoreSettings};

/// How long a tenant's count is relied on.
const COUNT_MEMORY: Duration = Duration::from_secs(60);
/// How long a tenant is taken for full without counting again: refusals must be cheap.
const FULL: Duration = Duration::from_secs(1);
/// Among how many processes what is left is shared.
const PROCESSES: i64 = 16;
/// The most tenants whose counts are remembered.
const TENANTS: u64 = 10_000;

/// What is remembered of the tenants' counts.
pub(crate) struct Quotas {
    /// How many connections this process may create before it counts again.
    left: Cache<TenantId, Arc<AtomicI64>>,
    full: Cache<TenantId, ()>,
}

impl Default for Quotas {
    fn default() -> Self {
        let remembered = |time| Cache::builder().max_capacity(TENANTS).time_to_live(time);
        Self {
            left: remembered(COUNT_MEMORY).build(),
            full: Cache::builder().max_capacity(TENANTS).time_to_live(FULL).build(),
        }
    }
}

impl Quotas {
    /// Refuses a connection more where there are as many as may be.
    pub(crate) async fn check(
        &self,
        tx: &DatabaseTransaction,
        settings: &StoreSettings,
        tenant: &TenantId,
        owner: &Owner,
    ) -> Result<(), Error> {
        let (of_user, of_tenant) = (settings.connections_of_user, settings.connections_of_tenant);
        if let Some(user) = owner.user().filter(|_| of_user > 0)
            && count(tx, tenant, Some(user), of_user).await? >= i64::from(of_user)
        {
            return Err(Error::UserFull { most: of_user });
        }
        self.check_tenant(tx, of_tenant, tenant, 1).await
    }

    /// Refuses `more` connections where the tenant would have more than it may.
    pub(crate) async fn check_tenant(
        &self,
        tx: &DatabaseTransaction,
        of_tenant: u32,
        tenant: &TenantId,
        more: i64,
    ) -> Result<(), Error> {
        if of_tenant == 0 {
            return Ok(());
        }
        if self.full.contains_key(tenant) {
            return Err(Error::TenantFull { most: of_tenant });
        }
        if self.left.get(tenant).is_some_and(|left| left.fetch_sub(more, Ordering::Relaxed) >= more) {
            return Ok(());
        }
        let left = i64::from(of_tenant) - count(tx, tenant, None, of_tenant).await?;
        if left <= 0 {
            self.full.insert(tenant.clone(), ());
        }
        if left < more {
            return Err(Error::TenantFull { most: of_tenant });
        }
        self.left.insert(tenant.clone(), Arc::new(AtomicI64::new((left - more) / PROCESSES)));
        Ok(())
    }
}

/// Counts connections up to `most`.
async fn count(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    user: Option<&UserId>,
    most: u32,
) -> Result<i64, Error> {
    let mut values: Vec<Value> = vec![tenant.as_str().into(), i64::from(most).into()];
    let mut owned = "";
    if let Some(user) = user {
        owned = "AND owner_user = $3";
        values.push(user.as_str().into());
    }
    let sql = format!(
        "SELECT count(*) AS n FROM (SELECT 1 FROM connections WHERE tenant_id = $1 {owned} LIMIT $2) counted"
    );
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let row = tx.query_one_raw(statement).await?;
    Ok(row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0))
}
