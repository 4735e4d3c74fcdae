//! Background work: purges what was deleted long enough ago, forgets what is old, and ends what has expired. It works in
//! batches, each of which looks for what is left, so any number of replicas may do it, and a crash loses nothing.

use std::collections::HashSet;
use std::time::Duration;

use credvault_domain::{Day, TenantId};
use sea_orm::{ConnectionTrait as _, Statement};

use crate::change::REQUEST_MEMORY;
use crate::change::feed::FEED_MEMORY;
use crate::connections::purge::Purging;
use crate::events::deliveries::burial::bury_late;
use crate::outcomes::{DAY_MICROS, OUTCOME_MEMORY_DAYS};
use crate::{Error, Store};

/// How long the state of a consent, or a connect session, is known once its time is over.
const STATE_MEMORY: Duration = Duration::from_secs(3600);
/// How long an unused budget of a tenant's rate is kept: longer than the clocks of replica and database may differ.
const RATE_MEMORY: Duration = Duration::from_secs(3600);
/// How many rows are looked at to find the tenants that have something due, and counted for the metric.
const MAX_ROWS_LOOKED_AT: u64 = 100_000;

/// Rows that are due for something: of `kind`, as the metric calls it, those of `table` for which `condition` holds,
/// where `{}` is the instant `before`.
struct Due {
    kind: &'static str,
    table: &'static str,
    condition: &'static str,
    before: i64,
}

/// How long it is remembered who was served a shared credential of the platform.
const DEPENDANT_MEMORY: Duration = Duration::from_secs(90 * 24 * 3600);

impl Store {
    /// Removes data that is due now, and returns the number of purged connections. Any number of replicas may do so at a
    /// time. While the clock is not trusted, removes only what a caller has deleted, and nothing whose time is over.
    ///
    /// # Errors
    /// The database fails; what was not done is done the next time. One kind that fails does not keep the others.
    pub async fn upkeep(&self) -> Result<u64, Error> {
        self.show_backlog().await;
        self.show_backup_age().await;
        let users = self.finish_user_deletions().await;
        let erasures = self.finish_usage_erasures().await;
        let endpoints = self.finish_endpoint_deletions().await;
        let tenants = self.finish_erasures().await;
        let (purged, forgotten) = if self.clock().is_trusted() {
            let moved = self.move_audit_events().await;
            // Side by side, so that much of the one does not hold up the other.
            let (purged, forgotten) = tokio::join!(self.purge_all(), self.forget());
            (purged, moved.and(self.care_for_audit_logs().await).and(forgotten))
        } else {
            tracing::warn!(
                "nothing is purged or forgotten while the clock differs from the database's by too much"
            );
            (Ok(0), Ok(()))
        };
        self.show_backlog().await;
        users.and(erasures).and(endpoints).and(tenants).and(forgotten).and(purged)
    }

    /// What upkeep has to do, in the order of its tables.
    fn due(&self) -> [Due; 16] {
        let now = self.now();
        let due = |kind, table, condition, before| Due { kind, table, condition, before };
        [
            due("users", "user_deletions", "create_time <= {}", now.micros()),
            due("endpoints", "endpoint_deletions", "create_time <= {}", now.micros()),
            due("tenants", "erasures", "state = 'ERASING' AND confirm_time <= {}", now.micros()),
            // One whose grant is still to be revoked waits for its provider, and not for upkeep.
            due("purges", "connections", "purge_time <= {} AND revocation_time IS NULL", now.micros()),
            due("requests", "requests", "create_time < {}", now.before(REQUEST_MEMORY).micros()),
            due("changes", "changes", "time < {}", now.before(FEED_MEMORY).micros()),
            // For some time, a late state gets an error that says so.
            due("consents", "authorizations", "expire_time < {}", now.before(STATE_MEMORY).micros()),
            due(
                "connect_sessions",
                "connect_sessions",
                "expire_time < {}",
                now.before(STATE_MEMORY).micros(),
            ),
            due(
                "outcomes",
                "provider_outcomes",
                "day < {}",
                now.micros().div_euclid(DAY_MICROS) - OUTCOME_MEMORY_DAYS,
            ),
            due("webhooks", "webhook_replays", "expire_time < {}", now.micros()),
            due("app_webhooks", "app_webhook_replays", "expire_time < {}", now.micros()),
            due(
                "usage",
                "usage_totals",
                "day < {}",
                Day::of(now).before(self.settings().usage_days.into()).number(),
            ),
            // A budget of which nothing was taken for a while is a whole one, like one without a row.
            due("rates", "rate_budgets", "time < {}", now.before(RATE_MEMORY).micros()),
            due("dependants", "platform_dependants", "last_time < {}", now.before(DEPENDANT_MEMORY).micros()),
            due("events", "event_deliveries", "state <> 'PENDING' AND expire_time < {}", now.micros()),
            due(
                "late_events",
                "event_deliveries",
                "state = 'PENDING' AND expire_time <= {} AND tenant_id NOT IN
                 (SELECT tenant_id FROM tenants WHERE state = 'SUSPENDED' OR delivery_grace_time > {})",
                now.micros(),
            ),
        ]
    }

    /// Shows how much waits of each kind. What cannot be counted is not shown, and the work goes on.
    async fn show_backlog(&self) {
        for due in self.due() {
            match self.backlog(&due).await {
                Ok(waiting) => metrics::gauge!("credvault_upkeep_backlog", "kind" => due.kind)
                    .set(u32::try_from(waiting).map_or(f64::INFINITY, f64::from)),
                Err(error) => tracing::warn!(%error, kind = due.kind, "the backlog could not be counted"),
            }
        }
    }

    async fn backlog(&self, due: &Due) -> Result<i64, Error> {
        let everywhere = self.read_background().await?;
        let Due { table, condition, before, .. } = due;
        let condition = condition.replace("{}", "$1");
        let sql = format!(
            "SELECT count(*) AS waiting FROM (SELECT 1 FROM {table} WHERE {condition} LIMIT {MAX_ROWS_LOOKED_AT}) due"
        );
        let backend = everywhere.get_database_backend();
        let counted = Statement::from_sql_and_values(backend, sql, [(*before).into()]);
        let row = everywhere.query_one_raw(counted).await?;
        everywhere.rollback().await?;
        Ok(row.map(|row| row.try_get("", "waiting")).transpose()?.unwrap_or_default())
    }

    /// Tenants with rows of `table` that meet `condition`, in which `$1` is `value`.
    pub(crate) async fn tenants_with(
        &self,
        table: &str,
        condition: &str,
        value: i64,
    ) -> Result<Vec<TenantId>, Error> {
        let everywhere = self.read_background().await?;
        let sql = format!(
            "SELECT DISTINCT tenant_id FROM (SELECT tenant_id FROM {table} WHERE {condition} LIMIT {MAX_ROWS_LOOKED_AT}) due"
        );
        let backend = everywhere.get_database_backend();
        let asked = Statement::from_sql_and_values(backend, sql, [value.into()]);
        let rows = everywhere.query_all_raw(asked).await?;
        everywhere.rollback().await?;
        rows.iter().map(|row| Ok(TenantId::from_stored(row.try_get("", "tenant_id")?))).collect()
    }

    /// Purges what is due, a piece of each tenant in turn, and tells how much that was.
    async fn purge_all(&self) -> Result<u64, Error> {
        let mut all = 0;
        loop {
            let now = self.now().micros();
            let due = "purge_time <= $1 AND revocation_time IS NULL";
            let mut tenants = self.tenants_with("connections", due, now).await?;
            let before = all;
            while !tenants.is_empty() {
                let mut left = Vec::new();
                for tenant in tenants {
                    match self.purge_piece(&tenant, Purging::All).await {
                        Ok(0) => {}
                        Ok(purged) => {
                            all += purged;
                            left.push(tenant);
                        }
                        // One that fails must not keep the others: it is tried again the next time.
                        Err(error) => {
                            tracing::warn!(%error, %tenant, "deleted connections could not be purged")
                        }
                    }
                }
                tenants = left;
            }
            if all == before {
                return Ok(all);
            }
        }
    }

    /// Forgets what is old, and ends what comes too late, kind by kind and tenant by tenant.
    async fn forget(&self) -> Result<(), Error> {
        let ended = self.end_all_consents().await;
        let mut done = Ok(());
        for due in self.due() {
            let this = match (due.kind, &ended) {
                // These have their own ways.
                ("users" | "endpoints" | "tenants" | "purges", _) => Ok(()),
                ("late_events", _) => self.bury_late_events(&due).await,
                ("usage", _) => self.forget_usage(&due).await,
                // A consent that is forgotten before it is ended leaves its connection waiting for ever.
                ("consents", Ok(ended)) => {
                    for tenant in ended {
                        if let Err(error) = self.count_expired_consents(tenant, due.before).await {
                            tracing::warn!(%error, %tenant, "expired consents could not be counted");
                        }
                    }
                    self.forget_old(&due, Some(ended)).await
                }
                ("consents", Err(_)) => Ok(()),
                _ => self.forget_old(&due, None).await,
            };
            done = done.and(this);
        }
        ended.and(done)
    }

    /// Ends the consents whose time is over, and tells of which tenants all of them are.
    async fn end_all_consents(&self) -> Result<HashSet<TenantId>, Error> {
        let (now, mut ended) = (self.now().micros(), HashSet::new());
        for tenant in self.tenants_with("authorizations", "expire_time < $1", now).await? {
            match self.end_consents(&tenant, now).await {
                Ok(()) => {
                    ended.insert(tenant);
                }
                Err(error) => tracing::warn!(%error, %tenant, "late consents could not be ended"),
            }
        }
        Ok(ended)
    }

    /// Ends the consents of a tenant whose time is over, and forgets what was brought for them.
    async fn end_consents(&self, tenant: &TenantId, now: i64) -> Result<(), Error> {
        let over = "tenant_id = $1 AND state_hash IN
            (SELECT state_hash FROM authorizations WHERE tenant_id = $1 AND expire_time <= $2)";
        for table in ["delivered_keys", "callbacks"] {
            self.delete_in_pieces(tenant, table, over, now).await?;
        }
        self.end_late_consents(tenant).await
    }

    /// Forgets what is due of a kind, of all tenants or only of these.
    async fn forget_old(&self, due: &Due, only: Option<&HashSet<TenantId>>) -> Result<(), Error> {
        let everywhere = due.condition.replace("{}", "$1");
        let of_tenant = format!("tenant_id = $1 AND {}", due.condition.replace("{}", "$2"));
        loop {
            let mut deleted = 0;
            let mut tenants = self.tenants_with(due.table, &everywhere, due.before).await?;
            tenants.retain(|tenant| only.is_none_or(|only| only.contains(tenant)));
            for tenant in tenants {
                match self.delete_in_pieces(&tenant, due.table, &of_tenant, due.before).await {
                    Ok(rows) => deleted += rows,
                    Err(error) => {
                        tracing::warn!(%error, %tenant, kind = due.kind, "old rows could not be forgotten");
                    }
                }
            }
            if deleted < MAX_ROWS_LOOKED_AT {
                return Ok(());
            }
        }
    }

    /// Forgets old counts. Those by which their tenant is found go last.
    async fn forget_usage(&self, due: &Due) -> Result<(), Error> {
        for tenant in self.tenants_with(due.table, "day < $1", due.before).await? {
            let old = [
                ("usage_days", "day"),
                ("usage_users", "day"),
                ("usage_connections", "last_day"),
                ("usage_totals", "day"),
            ];
            for (table, day) in old {
                let condition = format!("tenant_id = $1 AND {day} < $2");
                if let Err(error) = self.delete_in_pieces(&tenant, table, &condition, due.before).await {
                    tracing::warn!(%error, %tenant, "old counts could not be forgotten");
                    break;
                }
            }
        }
        Ok(())
    }

    async fn bury_late_events(&self, due: &Due) -> Result<(), Error> {
        let everywhere = due.condition.replace("{}", "$1");
        for tenant in self.tenants_with(due.table, &everywhere, due.before).await? {
            let buried = async {
                let mut dead = 0;
                loop {
                    let tx = self.begin_bookkeeping(&tenant).await?;
                    let piece = bury_late(&tx, &tenant, self.now()).await?;
                    tx.commit().await?;
                    dead += piece;
                    if piece == 0 {
                        return Ok::<_, Error>(dead);
                    }
                }
            };
            match buried.await {
                Ok(0) => {}
                Ok(dead) => {
                    tracing::warn!(%tenant, dead, "events were given up after a day; ListEventDeliveries shows them");
                }
                Err(error) => tracing::warn!(%error, %tenant, "late events could not be given up"),
            }
        }
        Ok(())
    }
}
