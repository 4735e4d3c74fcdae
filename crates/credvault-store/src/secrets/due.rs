//! Which connections of the queue are looked at next: a share of each store, of these a share of each tenant. However many
//! are due, a bounded number of them is read.

use std::collections::{HashMap, HashSet};

use credvault_domain::{ConnectionId, TenantId};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement, Value};

use super::Secrets;
use crate::{ConnectionKey, Database, Error};

/// The most connections that are looked at in one go.
const PIECE: usize = 64;
/// How many of them are of one tenant, and how many of the tenants of one store, while others wait.
const SHARE: usize = 16;
/// How many rows a statement reads at most.
const READ: usize = 1024;

/// Those that are due and that no process is at.
const DUE: &str = "due_time <= $1 AND (lease_time IS NULL OR lease_time < $2)";

/// A connection that is due.
#[derive(Clone, Debug)]
struct Due {
    key: ConnectionKey,
    /// The store that its tenant has chosen.
    store: Option<String>,
    time: i64,
}

impl Secrets<'_> {
    /// The connections that are due: a share of each store, of these a share of each tenant, the longest waiting first. So
    /// neither a tenant with many, nor a store that does not get on, keeps the others.
    pub(super) async fn due(&self) -> Result<Vec<ConnectionKey>, Error> {
        let tx = self.store.read_background().await?;
        // Leases are compared with the database's clock only.
        let leases = self.store.database_time(&tx).await?;
        let values: [Value; 2] = [self.store.now().micros().into(), leases.into()];
        let mut due = read(&tx, &longest_waiting(), values.clone()).await?;
        // Where that is not all, the first ones may be one tenant's.
        if due.len() == READ {
            due.extend(read(&tx, &of_each_tenant(self.store.database()), values).await?);
        }
        tx.rollback().await?;
        Ok(shared(due))
    }
}

fn longest_waiting() -> String {
    format!(
        "SELECT w.tenant_id, w.connection_id, w.due_time, t.secret_store
         FROM payload_work w JOIN tenants t ON t.tenant_id = w.tenant_id
         WHERE {DUE} ORDER BY w.due_time LIMIT {READ}"
    )
}

/// A share of each tenant. The index is asked for one tenant after the other, and so for no more rows than these.
fn of_each_tenant(database: Database) -> String {
    let share = |columns: &str| {
        format!(
            "SELECT {columns} FROM payload_work WHERE payload_work.tenant_id = e.tenant_id AND {DUE}
             ORDER BY payload_work.due_time LIMIT {SHARE}"
        )
    };
    let joined = match database {
        Database::Postgres => format!("CROSS JOIN LATERAL ({}) w", share("connection_id, due_time")),
        Database::Sqlite => format!("JOIN payload_work w ON w.rowid IN ({})", share("rowid")),
    };
    format!(
        "WITH RECURSIVE each_tenant(tenant_id) AS (
            SELECT min(tenant_id) FROM payload_work
            UNION ALL
            SELECT (SELECT min(later.tenant_id) FROM payload_work later WHERE later.tenant_id > each_tenant.tenant_id)
            FROM each_tenant WHERE each_tenant.tenant_id IS NOT NULL
         )
         SELECT e.tenant_id, w.connection_id, w.due_time, t.secret_store
         FROM each_tenant e JOIN tenants t ON t.tenant_id = e.tenant_id {joined}
         ORDER BY w.due_time LIMIT {READ}"
    )
}

async fn read(tx: &DatabaseTransaction, sql: &str, values: [Value; 2]) -> Result<Vec<Due>, Error> {
    let rows =
        tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    let read = |row: &sea_orm::QueryResult| {
        let connection = ConnectionId::from_uuid(row.try_get("", "connection_id")?);
        let tenant = TenantId::from_stored(row.try_get("", "tenant_id")?);
        Ok(Due {
            key: ConnectionKey { tenant, connection },
            store: row.try_get("", "secret_store")?,
            time: row.try_get("", "due_time")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Those whose turn it is, each once.
fn shared(mut due: Vec<Due>) -> Vec<ConnectionKey> {
    let mut seen = HashSet::new();
    due.retain(|due| seen.insert(due.key.clone()));
    due.sort_by_key(|due| due.time);
    let mut of_tenant = HashMap::new();
    let mut turns: Vec<(usize, Due)> =
        due.into_iter().map(|due| (turn(&mut of_tenant, due.key.tenant.clone()), due)).collect();
    turns.sort_by_key(|(turn, due)| (*turn, due.time));
    let mut of_store = HashMap::new();
    // Equals stay in their order.
    let mut turns: Vec<(usize, Due)> =
        turns.into_iter().map(|(_, due)| (turn(&mut of_store, due.store.clone()), due)).collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().take(PIECE).map(|(_, due)| due.key).collect()
}

/// The turn of the next one of `whose`: as many as a share have the same one.
fn turn<T: std::hash::Hash + Eq>(counts: &mut HashMap<T, usize>, whose: T) -> usize {
    let count = counts.entry(whose).or_insert(0);
    let turn = *count / SHARE;
    *count += 1;
    turn
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn due(tenant: &str, store: Option<&str>, time: i64) -> Due {
        let tenant = TenantId::parse(tenant).expect("an id");
        let connection = ConnectionId::from_uuid(Uuid::from_u128(time.unsigned_abs().into()));
        Due { key: ConnectionKey { tenant, connection }, store: store.map(str::to_owned), time }
    }

    fn of<'a>(turns: &'a [ConnectionKey], tenant: &'a str) -> impl Iterator<Item = usize> + 'a {
        turns.iter().enumerate().filter(move |(_, key)| key.tenant.as_str() == tenant).map(|(at, _)| at)
    }

    #[test]
    fn each_tenant_and_each_store_has_its_share() {
        let mut all: Vec<Due> = (0..500).map(|time| due("acme", None, time)).collect();
        all.extend((500..540).map(|time| due("beta", None, time)));
        // A store with many tenants.
        for tenant in ["c1", "c2", "c3", "c4"] {
            all.extend((540..560).map(|time| due(tenant, Some("eu"), time)));
        }
        let turns = shared(all.iter().chain(&all).cloned().collect());
        assert_eq!(turns.len(), PIECE);
        let each: HashSet<_> = turns.iter().cloned().collect();
        assert_eq!(each.len(), PIECE, "each once");
        assert!(of(&turns, "acme").take(SHARE).eq(0..SHARE));
        assert!(of(&turns, "beta").count() >= SHARE);
        // All four together have the share of their store while others wait.
        let of_eu: usize = ["c1", "c2", "c3", "c4"].iter().map(|tenant| of(&turns, tenant).count()).sum();
        assert_eq!(of_eu, 2 * SHARE);
        // One that is alone has all.
        let alone: Vec<Due> = (0..500).map(|time| due("acme", None, time)).collect();
        assert_eq!(shared(alone).len(), PIECE);
    }
}
