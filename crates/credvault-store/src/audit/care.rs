//! What upkeep does for the audit logs of all tenants, once an hour.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use credvault_domain::{TenantId, chain};

use crate::{Error, Store};

/// How often a process looks after the logs.
const INTERVAL: Duration = Duration::from_secs(3600);
/// How long one upkeep does so: the rest of it must not wait for long. What is left is done the next time.
const TURN: Duration = Duration::from_secs(30);

impl Store {
    /// Removes records that are old enough and keeps counts of finished days, tenant by tenant, for a while. Any number of replicas may do so at a time.
    pub(crate) async fn care_for_audit_logs(&self) -> Result<(), Error> {
        let (now, end) = (self.now(), Instant::now() + TURN);
        let last = self.audit_care().load(Ordering::Relaxed);
        let interval = i64::try_from(INTERVAL.as_micros()).unwrap_or(i64::MAX);
        if now.micros().saturating_sub(last) < interval {
            return Ok(());
        }
        for tenant in self.tenants_with("tenants", "create_time <= $1", now.micros()).await? {
            if Instant::now() >= end {
                return Ok(());
            }
            match self.care_for(&tenant, end).await {
                // It was erased.
                Ok(()) | Err(Error::TenantNotFound(_)) => {}
                // One that fails must not keep the others: it is tried again the next time.
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(error, %tenant, "the audit log could not be looked after yet");
                }
            }
        }
        self.audit_care().store(now.micros(), Ordering::Relaxed);
        Ok(())
    }

    async fn care_for(&self, tenant: &TenantId, end: Instant) -> Result<(), Error> {
        // What goes need not be counted before.
        let removed = self.remove_old_records(tenant, end).await;
        self.keep_days(tenant, end).await.and(removed)
    }
}
