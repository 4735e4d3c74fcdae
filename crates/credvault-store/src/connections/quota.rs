//! Quotas: how many connections a tenant, and a user of it, may have, deleted ones that are not purged yet included.
//!
//! The vault counts connections over an index when one is created, at most up to the quota, because a counter row would
//! make creations queue. A tenant's count can be long, so the processes that may be creating share what is left of the
//! quota: each may use a sixteenth of it within a minute before it counts again, so the vault counts often only where
//! the quota is near.
//!
//! Creations that count at the same moment do not see each other, so a quota can be exceeded by what the transactions in
//! progress create: one connection each, up to 200 in an import. A tenant's quota can also be exceeded by what other
//! processes have not yet used of their shares when one fills the rest: with n processes, by at most (n - 1) sixteenths of
//! what was left a minute before. `docs/limits.md` has the numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use credvault_domain::{Owner, TenantId, UserId};
use moka::sync::Cache;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement, Value};

use crate::Error;

/// How long a tenant's count is relied on.
const COUNT_MEMORY: Duration = Duration::from_secs(60);
/// How long a tenant is taken for full without counting again: refusals must be cheap.
const FULL: Duration = Duration::from_secs(1);
/// Among how many processes what is left is shared.
const PROCESSES: i64 = 16;
/// The most tenants whose counts are remembered.
const TENANTS: u64 = 10_000;

/// How many connections a tenant, and each user of it, may have; 0 means no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionQuotas {
    pub(crate) of_tenant: u32,
    pub(crate) of_user: u32,
}

/// What is remembered of the tenants' counts.
pub(crate) struct Quotas {
    left: Cache<TenantId, Arc<Left>>,
    /// The quotas that tenants have reached.
    full: Cache<TenantId, u32>,
}

/// How many connections this process may create before it counts again.
struct Left {
    /// The quota for which it was counted. A count that was in progress while the quota changed must not count for the new
    /// one.
    most: u32,
    connections: AtomicI64,
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
    /// Forgets what is remembered of a tenant, whose quota has changed.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.left.invalidate(tenant);
        self.full.invalidate(tenant);
    }

    /// Refuses a connection more where the tenant, or the user who is to own it, has as many as may be; 0 means no limit.
    pub(crate) async fn check(
        &self,
        tx: &DatabaseTransaction,
        quotas: ConnectionQuotas,
        tenant: &TenantId,
        owner: &Owner,
    ) -> Result<(), Error> {
        let of_user = quotas.of_user;
        if let Some(user) = owner.user().filter(|_| of_user > 0)
            && count(tx, tenant, Some(user), of_user).await? >= i64::from(of_user)
        {
            return Err(Error::UserFull { most: of_user });
        }
        self.check_tenant(tx, quotas, tenant, 1).await
    }

    /// Refuses `more` connections where the tenant would have more than it may.
    pub(crate) async fn check_tenant(
        &self,
        tx: &DatabaseTransaction,
        quotas: ConnectionQuotas,
        tenant: &TenantId,
        more: i64,
    ) -> Result<(), Error> {
        let most = quotas.of_tenant;
        if most == 0 {
            return Ok(());
        }
        if self.full.get(tenant) == Some(most) {
            return Err(Error::TenantFull { most });
        }
        let remembered = self.left.get(tenant).filter(|left| left.most == most);
        if remembered.is_some_and(|left| left.connections.fetch_sub(more, Ordering::Relaxed) >= more) {
            return Ok(());
        }
        let left = i64::from(most) - count(tx, tenant, None, most).await?;
        if left <= 0 {
            self.full.insert(tenant.clone(), most);
        }
        if left < more {
            return Err(Error::TenantFull { most });
        }
        let connections = AtomicI64::new((left - more) / PROCESSES);
        self.left.insert(tenant.clone(), Arc::new(Left { most, connections }));
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
