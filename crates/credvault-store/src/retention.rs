//! Background work: purging what was deleted long enough ago, forgetting what is old, ending what comes too late. All of
//! it in pieces, of which each looks for what is left: so any number of replicas may be at it, and a crash loses none.

use std::collections::HashSet;
use std::time::Duration;

use credvault_domain::{
    Action, AuditOutcome, ConnectionId, ConnectionState, ProviderId, Reason, TenantId, UserId,
};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, LockBehavior, LockType};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement, Value,
};
use uuid::Uuid;

use crate::audit::log;
use crate::change::{ChangeKind, REQUEST_MEMORY, feed_row};
use crate::connections::row::owner;
use crate::database::pieces::{self, PIECE};
use crate::entity::{authorization, change, connection};
use crate::events::deliveries::bury_late;
use crate::{Error, Store};

/// How long rows of the change feed are kept.
const FEED_MEMORY: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the state of a consent is known once its time is over.
const STATE_MEMORY: Duration = Duration::from_secs(3600);
/// How many rows are looked at to find the tenants that have something due, and counted for the metric.
const LOOK: u64 = 100_000;

/// Rows that are due for something: of `kind`, as the metric calls it, those of `table` for which `condition` holds,
/// where `{}` is the instant `before`.
struct Due {
    kind: &'static str,
    table: &'static str,
    condition: &'static str,
    before: i64,
}

impl Store {
    /// Does what is due now, and tells how many connections were purged. Any number of replicas may do so at a time. While
    /// the clock is not trusted, only what somebody has asked for is done: nothing is destroyed because its time is over.
    ///
    /// # Errors
    /// The database fails; what was not done is done the next time. One kind that fails does not keep the others.
    pub async fn upkeep(&self) -> Result<u64, Error> {
        self.show_backlog().await;
        let users = self.finish_user_deletions().await;
        let endpoints = self.finish_endpoint_deletions().await;
        let (purged, forgotten) = if self.clock().is_trusted() {
            // Side by side, so that much of the one does not hold up the other.
            tokio::join!(self.purge_all(), self.forget())
        } else {
            tracing::warn!(
                "nothing is purged or forgotten while the clock differs from the database's by too much"
            );
            (Ok(0), Ok(()))
        };
        self.show_backlog().await;
        users.and(endpoints).and(forgotten).and(purged)
    }

    /// What upkeep has to do, in the order of its tables.
    fn due(&self) -> [Due; 10] {
        let now = self.now();
        let due = |kind, table, condition, before| Due { kind, table, condition, before };
        [
            due("users", "user_deletions", "create_time <= {}", now.micros()),
            due("endpoints", "endpoint_deletions", "create_time <= {}", now.micros()),
            due("purges", "connections", "purge_time <= {}", now.micros()),
            due("requests", "requests", "create_time < {}", now.before(REQUEST_MEMORY).micros()),
            due("changes", "changes", "time < {}", now.before(FEED_MEMORY).micros()),
            // A state that comes too late is told so for a while.
            due("consents", "authorizations", "expire_time < {}", now.before(STATE_MEMORY).micros()),
            due("webhooks", "webhook_deliveries", "expire_time < {}", now.micros()),
            due("app_webhooks", "app_deliveries", "expire_time < {}", now.micros()),
            due("events", "event_deliveries", "state <> 'PENDING' AND expire_time < {}", now.micros()),
            due(
                "late_events",
                "event_deliveries",
                "state = 'PENDING' AND expire_time <= {} AND tenant_id NOT IN
                 (SELECT tenant_id FROM tenants WHERE state = 'SUSPENDED' OR patience_time > {})",
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
            "SELECT count(*) AS waiting FROM (SELECT 1 FROM {table} WHERE {condition} LIMIT {LOOK}) due"
        );
        let backend = everywhere.get_database_backend();
        let counted = Statement::from_sql_and_values(backend, sql, [(*before).into()]);
        let row = everywhere.query_one_raw(counted).await?;
        everywhere.rollback().await?;
        Ok(row.map(|row| row.try_get("", "waiting")).transpose()?.unwrap_or_default())
    }

    /// Tenants with rows of `table` that meet `condition`, in which `$1` is `value`.
    async fn tenants_with(&self, table: &str, condition: &str, value: i64) -> Result<Vec<TenantId>, Error> {
        let everywhere = self.read_background().await?;
        let sql = format!(
            "SELECT DISTINCT tenant_id FROM (SELECT tenant_id FROM {table} WHERE {condition} LIMIT {LOOK}) due"
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
            let mut tenants = self.tenants_with("connections", "purge_time <= $1", now).await?;
            let before = all;
            while !tenants.is_empty() {
                let mut left = Vec::new();
                for tenant in tenants {
                    match self.purge_piece(&tenant, None).await {
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

    /// Purges a piece of what is due of a tenant, or of one of its users, and tells how much that was. Rows that another
    /// transaction holds are left to it.
    pub(crate) async fn purge_piece(&self, tenant: &TenantId, user: Option<&UserId>) -> Result<u64, Error> {
        loop {
            if let Some(purged) = self.try_purge_piece(tenant, user).await? {
                return Ok(purged);
            }
        }
    }

    /// The same; `None` if the connections stay for now, for a piece of the webhooks that were seen at them went.
    async fn try_purge_piece(&self, tenant: &TenantId, user: Option<&UserId>) -> Result<Option<u64>, Error> {
        use connection::Column;
        let (tx, now) = (self.background_write(tenant).await?, self.now());
        let mut due = connection::Entity::find()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::PurgeTime.lte(now.micros()))
            .order_by_asc(Column::PurgeTime)
            .limit(PIECE)
            .select_only()
            .columns([Column::Id, Column::Provider, Column::OwnerUser]);
        if let Some(user) = user {
            due = due.filter(Column::OwnerUser.eq(user.as_str()));
        }
        let due: Vec<(Uuid, String, String)> =
            due.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).into_tuple().all(&tx).await?;
        if due.is_empty() {
            return Ok(Some(0));
        }
        let ids: Vec<_> = due.iter().map(|(id, ..)| *id).collect();
        if self.forget_webhooks_of(&tx, tenant, &ids).await? == PIECE {
            tx.commit().await?;
            return Ok(None);
        }
        let purged = connection::Entity::delete_many()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::Id.is_in(ids))
            .exec(&tx)
            .await?;
        let (mut records, mut feed) = (Vec::new(), Vec::new());
        for (id, provider, owner_user) in due {
            let connection = Some(ConnectionId::from_uuid(id));
            let mut event = self.own_event(tenant, Action::PurgeConnection)?;
            event.connection = connection;
            event.owner_user = owner(tenant.as_str(), &owner_user).user().cloned();
            event.provider = Some(ProviderId::from_stored(provider));
            records.push(event);
            feed.push(feed_row(tenant, connection, ChangeKind::Purged, None, now));
        }
        log::insert(&tx, &records).await?;
        change::Entity::insert_many(feed).exec_without_returning(&tx).await?;
        tx.commit().await?;
        Ok(Some(purged.rows_affected))
    }

    /// Forgets a piece of the webhooks that were seen at connections which are about to go, and tells how much that was. All
    /// else of a connection has a limit; these may be as many as a provider sends in a day.
    pub(crate) async fn forget_webhooks_of(
        &self,
        tx: &DatabaseTransaction,
        tenant: &TenantId,
        ids: &[Uuid],
    ) -> Result<u64, Error> {
        let places: Vec<_> = (0..ids.len()).map(|index| format!("${}", index + 2)).collect();
        let of_these = format!("tenant_id = $1 AND connection_id IN ({})", places.join(", "));
        let piece = pieces::piece(self.database(), "webhook_deliveries", &of_these);
        let mut values: Vec<Value> = vec![tenant.as_str().into()];
        values.extend(ids.iter().map(|id| Value::from(*id)));
        pieces::execute(tx, &format!("DELETE FROM webhook_deliveries WHERE {piece}"), values).await
    }

    /// Forgets what is old, and ends what comes too late, kind by kind and tenant by tenant.
    async fn forget(&self) -> Result<(), Error> {
        let ended = self.end_all_consents().await;
        let mut done = Ok(());
        for due in self.due() {
            let this = match (due.kind, &ended) {
                // These have their own ways.
                ("users" | "endpoints" | "purges", _) => Ok(()),
                ("late_events", _) => self.bury_late_events(&due).await,
                // A consent that is forgotten before it is ended leaves its connection waiting for ever.
                ("consents", Ok(ended)) => self.forget_old(&due, Some(ended)).await,
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
        for table in ["handoffs", "callbacks"] {
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
            if deleted < LOOK {
                return Ok(());
            }
        }
    }

    async fn bury_late_events(&self, due: &Due) -> Result<(), Error> {
        let everywhere = due.condition.replace("{}", "$1");
        for tenant in self.tenants_with(due.table, &everywhere, due.before).await? {
            let buried = async {
                let mut dead = 0;
                loop {
                    let tx = self.background_write(&tenant).await?;
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

    /// A first consent that did not come leaves the connection as it was before, and that on record.
    async fn end_late_consents(&self, tenant: &TenantId) -> Result<(), Error> {
        while self.end_late_consents_piece(tenant).await? == PIECE {}
        Ok(())
    }

    async fn end_late_consents_piece(&self, tenant: &TenantId) -> Result<u64, Error> {
        use connection::Column;
        let (tx, now) = (self.background_write(tenant).await?, self.now());
        let open = sea_orm::sea_query::Query::select()
            .column(authorization::Column::ConnectionId)
            .from(authorization::Entity)
            .and_where(authorization::Column::TenantId.eq(tenant.as_str()))
            .and_where(authorization::Column::ConsumeTime.is_null())
            .and_where(authorization::Column::ExpireTime.gte(now.micros()))
            .to_owned();
        let late = connection::Entity::find()
            .filter(Column::TenantId.eq(tenant.as_str()))
            // Spelled out, so that the index over just these is used.
            .filter(Expr::cust("state = 'CONNECTING'"))
            .filter(Column::Id.not_in_subquery(open))
            .limit(PIECE)
            .lock_exclusive()
            .all(&tx)
            .await?;
        let ended = late.len();
        for model in late {
            let mut event = self.own_event(tenant, Action::CompleteAuthorization)?;
            event.connection = Some(ConnectionId::from_uuid(model.id));
            event.owner_user = owner(&model.tenant_id, &model.owner_user).user().cloned();
            event.provider = Some(ProviderId::from_stored(model.provider.clone()));
            event.outcome = AuditOutcome::Failed;
            event.reason = Some(Reason::StateExpired);
            log::insert(&tx, &[event]).await?;
            let revision = model.revision + 1;
            let mut row = model.into_active_model();
            row.state = Set(ConnectionState::Disconnected.as_str().to_owned());
            row.revision = Set(revision);
            row.update_time = Set(now.micros());
            row.update(&tx).await?;
        }
        tx.commit().await?;
        Ok(u64::try_from(ended).unwrap_or(u64::MAX))
    }
}
