//! The memory of reports: a repeated report finds its id among the requests and counts no more. The row is written in the
//! transaction of the counts, so neither a crash nor another replica comes between them.

use std::collections::HashMap;
use std::sync::Arc;

use credvault_domain::TenantId;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, Statement};
use uuid::Uuid;

use crate::Database;
use crate::database::json_rows::{self, Kind, value};

/// A report as the memory of requests knows it.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) service: Arc<str>,
    /// Empty for calls without a user.
    pub(crate) user: Arc<str>,
    /// The caller's id of the request.
    pub(crate) id: Uuid,
    /// A keyed hash of the request.
    pub(crate) fingerprint: Vec<u8>,
    /// When it came, in microseconds.
    pub(crate) time: i64,
}

type Key = (Arc<str>, Arc<str>, Uuid);

impl Batch {
    fn key(&self) -> Key {
        (Arc::clone(&self.service), Arc::clone(&self.user), self.id)
    }
}

/// Whether a report is a new one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Prior {
    New,
    /// The same report was counted before, or is counted in this transaction.
    Same,
    /// Another request has used its id.
    Other,
}

/// Remembers reports of a tenant, and tells of each whether it is new. A report that another replica is writing at this
/// moment is waited for.
pub(super) async fn remember(
    tx: &DatabaseTransaction,
    database: Database,
    tenant: &TenantId,
    batches: &[&Batch],
) -> Result<Vec<Prior>, DbErr> {
    let mut first: HashMap<Key, usize> = HashMap::new();
    for (index, batch) in batches.iter().enumerate() {
        first.entry(batch.key()).or_insert(index);
    }
    let inserted = insert(tx, database, tenant, batches, &first).await?;
    let mut all = Vec::with_capacity(batches.len());
    for (index, batch) in batches.iter().enumerate() {
        let key = batch.key();
        let earlier = first.get(&key).copied().filter(|earlier| *earlier != index);
        let prior = match earlier {
            None if inserted.contains(&key) => Prior::New,
            Some(earlier) if inserted.contains(&key) => {
                same(batches.get(earlier).map(|earlier| &earlier.fingerprint), batch)
            }
            _ => same(stored(tx, tenant, batch).await?.as_ref(), batch),
        };
        all.push(prior);
    }
    Ok(all)
}

fn same(fingerprint: Option<&Vec<u8>>, batch: &Batch) -> Prior {
    if fingerprint == Some(&batch.fingerprint) { Prior::Same } else { Prior::Other }
}

/// Inserts the rows that are not there, in the order of their keys, so that no two replicas wait for each other in a circle.
async fn insert(
    tx: &DatabaseTransaction,
    database: Database,
    tenant: &TenantId,
    batches: &[&Batch],
    first: &HashMap<Key, usize>,
) -> Result<Vec<Key>, DbErr> {
    let mut rows: Vec<_> = first.values().filter_map(|index| batches.get(*index)).collect();
    rows.sort_by_key(|batch| batch.key());
    let row = |batch: &&&Batch| {
        let fingerprint: String = batch.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
        (
            batch.service.to_string(),
            batch.user.to_string(),
            batch.id.simple().to_string(),
            fingerprint,
            batch.time,
        )
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    let json = json_rows::encode(&rows)?;
    let [service, user, time] = [("0", Kind::Text), ("1", Kind::Text), ("4", Kind::Number)]
        .map(|(path, kind)| value(database, path, kind));
    let (id, bytes) = (value(database, "2", Kind::Uuid), value(database, "3", Kind::Bytes));
    let rows = json_rows::rows(database);
    let sql = format!(
        "INSERT INTO requests (tenant_id, service, user_id, request_id, fingerprint, create_time)
         SELECT $1, {service}, {user}, {id}, {bytes}, {time} FROM {rows} WHERE true
         ON CONFLICT (tenant_id, service, user_id, request_id) DO NOTHING
         RETURNING service, user_id, request_id"
    );
    let values = [tenant.as_str().into(), json.into()];
    let inserted = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let key = |row: &sea_orm::QueryResult| {
        let text = |column: &str| row.try_get::<String>("", column).map(Arc::from);
        Ok((text("service")?, text("user_id")?, row.try_get("", "request_id")?))
    };
    tx.query_all_raw(inserted).await?.iter().map(key).collect()
}

/// The fingerprint of the request that has used the id before.
async fn stored(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    batch: &Batch,
) -> Result<Option<Vec<u8>>, DbErr> {
    let sql = "SELECT fingerprint FROM requests
        WHERE tenant_id = $1 AND service = $2 AND user_id = $3 AND request_id = $4";
    let values = [tenant.as_str().into(), (&*batch.service).into(), (&*batch.user).into(), batch.id.into()];
    let row =
        tx.query_one_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    row.map(|row| row.try_get("", "fingerprint")).transpose()
}
