//! The search for endpoints at which events are due.

use std::collections::HashSet;

use credvault_domain::{EventEndpointId, TenantId, TenantState};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, QueryResult, Statement};
use uuid::Uuid;

use super::{EndpointKey, EventDeliveries};
use crate::{Database, Error};

/// How many endpoints one search goes through.
const ENDPOINTS: i64 = 256;
/// How many of the oldest events a search looks at beside, where it does not go through all endpoints.
const MAX_OLDEST_EVENTS: i64 = 256;

/// What a search has found.
#[derive(Debug)]
pub struct EventsDue {
    /// Where something is due, the longest waiting first.
    pub keys: Vec<EndpointKey>,
    /// Where the next search goes on.
    pub next: Option<EndpointKey>,
}

impl EventDeliveries<'_> {
    /// Endpoints that something is due at, the longest waiting first: all of them, or at least those among the next few
    /// hundred endpoints after `from` and those of the oldest events. Those of suspended tenants wait.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due(&self, from: Option<&EndpointKey>) -> Result<EventsDue, Error> {
        let everywhere = self.store.read_background().await?;
        let (mut found, next) = self.endpoints_after(&everywhere, from).await?;
        if from.is_some() || next.is_some() {
            found.extend(self.oldest(&everywhere).await?);
        }
        // An endpoint found in both ways is found with the same time.
        found.sort_by_key(|(due, _)| *due);
        let mut known = HashSet::new();
        let keys = found.into_iter().map(|(_, key)| key).filter(|key| known.insert(key.clone()));
        Ok(EventsDue { keys: keys.collect(), next })
    }

    /// The endpoints of the oldest events that are due.
    async fn oldest(&self, everywhere: &DatabaseTransaction) -> Result<Vec<(i64, EndpointKey)>, Error> {
        // Limited before it is asked whose they are: a suspended tenant's must not be gone through each time.
        let sql = format!(
            "SELECT d.tenant_id, d.endpoint_id, d.due_time, t.state FROM (
                 SELECT tenant_id, endpoint_id, min(due_time) AS due_time FROM (
                     SELECT tenant_id, endpoint_id, due_time FROM event_deliveries
                     WHERE due_time <= $1 ORDER BY due_time LIMIT {MAX_OLDEST_EVENTS}
                 ) o GROUP BY tenant_id, endpoint_id
             ) d JOIN tenants t ON t.tenant_id = d.tenant_id"
        );
        let values = [self.store.now().micros().into()];
        let asked = Statement::from_sql_and_values(everywhere.get_database_backend(), sql, values);
        let mut found = Vec::new();
        for row in everywhere.query_all_raw(asked).await? {
            found.extend(self.due_endpoint(&row)?);
        }
        Ok(found)
    }

    /// Those of the next endpoints after `from` at which something is due, and where to go on: from endpoint to endpoint
    /// along an index, so that the cost does not depend on how much waits at each.
    async fn endpoints_after(
        &self,
        everywhere: &DatabaseTransaction,
        from: Option<&EndpointKey>,
    ) -> Result<(Vec<(i64, EndpointKey)>, Option<EndpointKey>), Error> {
        let next = |after: &str| {
            format!(
                "FROM event_deliveries n
                 WHERE n.due_time IS NOT NULL AND (n.tenant_id, n.endpoint_id) > ({after})
                 ORDER BY n.tenant_id, n.endpoint_id, n.due_time LIMIT 1"
            )
        };
        let (first, following) = (next("$1, $2"), next("t.tenant_id, t.endpoint_id"));
        let joined = match self.store.database() {
            Database::Postgres => format!("CROSS JOIN LATERAL (SELECT n.* {following}) d"),
            Database::Sqlite => format!("JOIN event_deliveries d ON d.rowid = (SELECT n.rowid {following})"),
        };
        let sql = format!(
            "WITH RECURSIVE t (tenant_id, endpoint_id, due_time, number) AS (
                 SELECT * FROM (SELECT n.tenant_id, n.endpoint_id, n.due_time, CAST(1 AS bigint) {first}) f
                 UNION ALL
                 SELECT d.tenant_id, d.endpoint_id, d.due_time, t.number + 1
                 FROM t {joined} WHERE t.number < {ENDPOINTS}
             )
             SELECT t.tenant_id, t.endpoint_id, t.due_time, t.number, s.state
             FROM t JOIN tenants s ON s.tenant_id = t.tenant_id ORDER BY t.number"
        );
        let tenant = from.map_or("", |from| from.tenant.as_str());
        let endpoint = from.map_or(Uuid::nil(), |from| from.endpoint.as_uuid());
        let values = [tenant.into(), endpoint.into()];
        let asked = Statement::from_sql_and_values(everywhere.get_database_backend(), sql, values);
        let rows = everywhere.query_all_raw(asked).await?;
        let mut found = Vec::new();
        for row in &rows {
            found.extend(self.due_endpoint(row)?);
        }
        let last = match rows.last() {
            Some(last) if last.try_get::<i64>("", "number")? == ENDPOINTS => Some(key(last)?),
            _ => None,
        };
        Ok((found, last))
    }

    /// An endpoint with the time of its oldest event, if that is due and the tenant is served.
    fn due_endpoint(&self, row: &QueryResult) -> Result<Option<(i64, EndpointKey)>, Error> {
        let (due, state): (i64, String) = (row.try_get("", "due_time")?, row.try_get("", "state")?);
        let served = state != TenantState::Suspended.as_str() && due <= self.store.now().micros();
        Ok(if served { Some((due, key(row)?)) } else { None })
    }
}

/// The endpoint that a row is about.
fn key(row: &QueryResult) -> Result<EndpointKey, Error> {
    let tenant = TenantId::from_stored(row.try_get("", "tenant_id")?);
    Ok(EndpointKey { tenant, endpoint: EventEndpointId::from_uuid(row.try_get("", "endpoint_id")?) })
}
