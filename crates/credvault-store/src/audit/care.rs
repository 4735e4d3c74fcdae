//! What upkeep does for the audit logs of all tenants, once an hour.

pub(crate) mod progress;

use std::time::{Duration, Instant};

use credvault_domain::{TenantId, chain};
use sea_orm::{ConnectionTrait as _, Statement};

use crate::{Error, Store};

/// How often a process looks after the logs.
const INTERVAL: Duration = Duration::from_secs(3600);
/// How long one upkeep does so: the rest of it must not wait for long. What is left is done the next time.
const TURN: Duration = Duration::from_secs(30);
/// How long one log is looked after at a time, so that a large one does not keep the others.
const TURN_OF_TENANT: Duration = Duration::from_secs(5);
/// How many tenants are asked for at a time.
const PAGE: i64 = 100;

impl Store {
    /// Removes records that are old enough and keeps counts of finished days, tenant by tenant, for a while; the next time it goes
    /// on behind the last one. Any number of replicas may do so at a time.
    pub(crate) async fn care_for_audit_logs(&self) -> Result<(), Error> {
        let (now, end) = (self.now(), Instant::now() + TURN);
        let Some(mut after) = self.audit_care().next(now, INTERVAL) else { return Ok(()) };
        loop {
            let tenants = self.tenants_after(&after).await?;
            let Some(last) = tenants.last().map(|tenant| tenant.as_str().to_owned()) else { break };
            for tenant in &tenants {
                if Instant::now() >= end {
                    return Ok(());
                }
                self.care_for(tenant, end.min(Instant::now() + TURN_OF_TENANT)).await;
                self.audit_care().note(Some(tenant));
            }
            after = last;
        }
        self.audit_care().note(None);
        Ok(())
    }

    async fn tenants_after(&self, after: &str) -> Result<Vec<TenantId>, Error> {
        let everywhere = self.read_background().await?;
        let sql = "SELECT tenant_id FROM tenants WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2";
        let asked = Statement::from_sql_and_values(
            everywhere.get_database_backend(),
            sql,
            [after.into(), PAGE.into()],
        );
        let rows = everywhere.query_all_raw(asked).await?;
        everywhere.rollback().await?;
        rows.iter().map(|row| Ok(TenantId::from_stored(row.try_get("", "tenant_id")?))).collect()
    }

    /// Looks after one log. One that fails must not keep the others: it is tried again the next time.
    async fn care_for(&self, tenant: &TenantId, end: Instant) {
        // What goes need not be counted before.
        let removed = self.remove_old_records(tenant, end).await;
        match self.keep_days(tenant, end).await.and(removed) {
            // It was erased.
            Ok(()) | Err(Error::TenantNotFound(_)) => {}
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, %tenant, "the audit log could not be looked after yet");
            }
        }
    }
}
