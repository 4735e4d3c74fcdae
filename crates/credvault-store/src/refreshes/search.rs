//! Finds the refreshes that are due, one tenant after the other, and postpones them.
//!
//! The search takes the oldest first. If more are due than can begin, the oldest may all be one tenant's, so it also
//! takes some of each tenant: it walks an index from tenant to tenant, a few hundred at a time, so that the cost does
//! not depend on how much is due. The search for the oldest walks past what is left out, so it may meet its time limit
//! when very much of that is due; then the other search works alone.

use std::collections::{HashMap, HashSet};

use credvault_domain::{ConnectionId, ProviderId, TenantId, TenantState, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryResult, Statement, Value,
};
use uuid::Uuid;

use super::Refreshes;
use crate::entity::refresh;
use crate::refreshes::budgets::AppKey;
use crate::refreshes::row::find;
use crate::{ConnectionKey, Database, Error};

/// How many tenants one search goes through, and how much it takes of each.
const TENANTS: i64 = 256;
const MAX_PER_TENANT: i64 = 16;

/// A refresh that is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// The key of the connection.
    pub key: ConnectionKey,
    /// Of which generation the tokens are.
    pub generation: i64,
    /// The app that the tokens were issued to.
    pub app: AppKey,
}

/// What a search leaves out: an app, a tenant, or one tenant's connections with one app.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// The tenant; `None` for all.
    pub tenant: Option<TenantId>,
    /// The app; `None` for all.
    pub app: Option<AppKey>,
}

impl LeftOut {
    /// Whether something due is left out.
    pub fn covers(&self, due: &Due) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| tenant == due.key.tenant())
            && self.app.as_ref().is_none_or(|app| *app == due.app)
    }
}

/// What a search has found.
#[derive(Debug)]
pub struct DueFound {
    /// What is due, one of each tenant, then the next of each.
    pub due: Vec<Due>,
    /// Whether that is all.
    pub all: bool,
    /// Where the next search goes on.
    pub next: Option<TenantId>,
}

impl Refreshes<'_> {
    /// What is due: all of it, or at least the oldest `limit` and some of every tenant among the next few hundred after
    /// `from`. What is a suspended tenant's waits.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due(
        &self,
        limit: usize,
        without: &[LeftOut],
        from: Option<&TenantId>,
    ) -> Result<DueFound, Error> {
        let mut everywhere = self.store.read_background().await?;
        let oldest = match self.oldest(&everywhere, limit, without).await {
            Ok(oldest) if oldest.len() < limit => {
                return Ok(DueFound { due: by_turns(oldest), all: true, next: None });
            }
            Ok(oldest) => oldest,
            Err(error) => {
                tracing::warn!(%error, "the oldest due refreshes could not be looked for");
                // PostgreSQL runs nothing more in a transaction in which a statement has failed.
                everywhere = self.store.read_background().await?;
                Vec::new()
            }
        };
        let (some, next) = self.some_of_each(&everywhere, without, from).await?;
        let mut due = by_turns(some);
        let known: HashSet<ConnectionKey> = due.iter().map(|due| due.key.clone()).collect();
        due.extend(by_turns(oldest).into_iter().filter(|due| !known.contains(&due.key)));
        Ok(DueFound { due, all: false, next })
    }

    async fn oldest(
        &self,
        everywhere: &DatabaseTransaction,
        limit: usize,
        without: &[LeftOut],
    ) -> Result<Vec<Due>, Error> {
        let mut values = Values(vec![self.store.now().micros().into()]);
        let wanted = wanted("r", without, &mut values);
        let limit = values.add(i64::try_from(limit).unwrap_or(i64::MAX));
        let sql = format!(
            "SELECT r.tenant_id, r.connection_id, r.generation, r.provider, r.client_id FROM refreshes r
             WHERE r.due_time <= $1 AND {wanted} ORDER BY r.due_time LIMIT {limit}"
        );
        let rows = everywhere.query_all_raw(values.of(everywhere, sql)).await?;
        rows.iter().map(due).collect()
    }

    async fn some_of_each(
        &self,
        everywhere: &DatabaseTransaction,
        without: &[LeftOut],
        from: Option<&TenantId>,
    ) -> Result<(Vec<Due>, Option<TenantId>), Error> {
        let from = from.map_or("", TenantId::as_str);
        let mut values = Values(vec![self.store.now().micros().into(), from.into()]);
        let wanted = wanted("r", without, &mut values);
        let of_each = format!(
            "FROM refreshes r WHERE r.tenant_id = t.tenant_id AND r.due_time <= $1 AND {wanted}
             ORDER BY r.due_time LIMIT {MAX_PER_TENANT}"
        );
        let joined = match self.store.database() {
            Database::Postgres => format!("LEFT JOIN LATERAL (SELECT r.* {of_each}) d ON true"),
            Database::Sqlite => format!("LEFT JOIN refreshes d ON d.rowid IN (SELECT r.rowid {of_each})"),
        };
        // Each step is one look into the index of tenants with something to be refreshed, due or not.
        let sql = format!(
            "WITH RECURSIVE t (tenant_id, number) AS (
                 SELECT (SELECT min(tenant_id) FROM refreshes WHERE due_time IS NOT NULL AND tenant_id > $2), CAST(1 AS bigint)
                 UNION ALL
                 SELECT (SELECT min(r.tenant_id) FROM refreshes r
                         WHERE r.due_time IS NOT NULL AND r.tenant_id > t.tenant_id), number + 1
                 FROM t WHERE t.tenant_id IS NOT NULL AND number < {TENANTS}
             )
             SELECT t.tenant_id, t.number, d.connection_id, d.generation, d.provider, d.client_id
             FROM t {joined} WHERE t.tenant_id IS NOT NULL ORDER BY t.number, d.due_time"
        );
        let rows = everywhere.query_all_raw(values.of(everywhere, sql)).await?;
        let last = rows.last().map(|last| Ok::<_, Error>((last.try_get::<i64>("", "number")?, last)));
        let next = match last.transpose()? {
            Some((number, last)) if number == TENANTS => {
                Some(TenantId::from_stored(last.try_get("", "tenant_id")?))
            }
            _ => None,
        };
        let mut some = Vec::new();
        for row in &rows {
            if row.try_get::<Option<Uuid>>("", "connection_id")?.is_some() {
                some.push(due(row)?);
            }
        }
        Ok((some, next))
    }

    /// Puts what is due off until an instant, unless it has changed meanwhile.
    ///
    /// # Errors
    /// The database fails.
    pub async fn postpone(&self, key: &ConnectionKey, seen: i64, until: Timestamp) -> Result<(), Error> {
        let _turn = self.store.refreshing().take(&key.tenant).await;
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        use refresh::Column;
        refresh::Entity::update_many()
            .col_expr(Column::DueTime, Expr::value(until.micros()))
            .filter(Column::TenantId.eq(key.tenant.as_str()))
            .filter(Column::ConnectionId.eq(key.connection.as_uuid()))
            .filter(Column::Generation.eq(seen))
            .filter(Column::DueTime.lt(until.micros()))
            .exec(&tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Postpones a refresh that cannot be made now, unless the row has changed meanwhile: until its next attempt if there
    /// will be one, as for a connection that requires a consent and was not finally refused (`asked_again`).
    ///
    /// # Errors
    /// The database fails.
    pub async fn put_off(&self, key: &ConnectionKey, seen: i64, asked_again: bool) -> Result<(), Error> {
        let _turn = self.store.refreshing().take(&key.tenant).await;
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        if let Some(row) = find(&tx, key).await?.filter(|row| row.generation == seen) {
            // Its time may have come since the claim was refused: then it is due, and not forgotten.
            let retry = row.retry_time.filter(|_| asked_again);
            let mut row = row.into_active_model();
            row.due_time = Set(retry);
            row.update(&tx).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// The values of a statement, and the placeholders for them.
struct Values(Vec<Value>);

impl Values {
    fn add(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("${}", self.0.len())
    }

    fn of(self, tx: &DatabaseTransaction, sql: String) -> Statement {
        Statement::from_sql_and_values(tx.get_database_backend(), sql, self.0)
    }
}

/// The condition that a row is of a tenant that is served, and not left out.
fn wanted(row: &str, without: &[LeftOut], values: &mut Values) -> String {
    let state = values.add(TenantState::Suspended.as_str());
    let mut condition =
        format!("{row}.tenant_id NOT IN (SELECT tenant_id FROM tenants WHERE state = {state})");
    for left_out in without {
        let mut parts = Vec::new();
        if let Some(tenant) = &left_out.tenant {
            parts.push(format!("{row}.tenant_id = {}", values.add(tenant.as_str())));
        }
        if let Some(app) = &left_out.app {
            parts.push(format!("{row}.provider = {}", values.add(app.provider.as_str())));
            // Compared as a text: a NULL would make the whole condition unknown, and leave rows out.
            let client = values.add(app.client_id.as_deref().unwrap_or_default());
            parts.push(format!("coalesce({row}.client_id, '') = {client}"));
        }
        if !parts.is_empty() {
            condition.push_str(&format!(" AND NOT ({})", parts.join(" AND ")));
        }
    }
    condition
}

fn due(row: &QueryResult) -> Result<Due, Error> {
    let tenant = TenantId::from_stored(row.try_get("", "tenant_id")?);
    let connection = ConnectionId::from_uuid(row.try_get("", "connection_id")?);
    let provider = ProviderId::from_stored(row.try_get("", "provider")?);
    let app = AppKey { provider, client_id: row.try_get("", "client_id")? };
    Ok(Due { key: ConnectionKey { tenant, connection }, generation: row.try_get("", "generation")?, app })
}

/// The first of each tenant, then the second of each, and so on.
fn by_turns(due: Vec<Due>) -> Vec<Due> {
    let mut before = HashMap::<TenantId, usize>::new();
    let numbered = due.into_iter().map(|due| {
        let count = before.entry(due.key.tenant.clone()).or_default();
        *count += 1;
        (*count, due)
    });
    let mut numbered: Vec<_> = numbered.collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, due)| due).collect()
}
