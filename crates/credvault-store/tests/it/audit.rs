//! The audit log from the journal to the tenants' trees: every record once, whatever is interrupted, altered or away.

mod buffered;
mod checkpoints;
mod days;
mod exported;
mod fields;
mod inclusion;
mod interrupted;
mod kept_keys;
mod lease;
mod moved;
mod proofs;
mod reading;
mod retention;
mod stretches;
mod tampered;
mod waiting;

use std::collections::BTreeSet;

use credvault_audit::{Frontier, Hash};
use credvault_domain::{Action, TenantScope};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, QueryResult, Statement};
use uuid::Uuid;

use crate::fixture::{Fixture, event, permit};

/// Makes the records of so many fetches durable, many at a time.
pub async fn record(fixture: &Fixture, scope: &TenantScope, count: usize) {
    let recording = (0..count).map(|_| async {
        let fetch = event(scope, Action::FetchCredential);
        fixture.store.audit().record(&permit(), fetch, ()).await.unwrap().into_inner();
    });
    futures::future::join_all(recording).await;
}

/// The ids of a tenant's records. Each is there once.
pub async fn ids(fixture: &Fixture, tenant: &str) -> BTreeSet<Uuid> {
    let records = fixture.records(tenant).await;
    let ids: BTreeSet<_> = records.iter().map(|record| record.id).collect();
    assert_eq!(ids.len(), records.len(), "a record is there twice");
    assert!(records.windows(2).all(|two| two[0].id > two[1].id), "they are not newest first");
    ids
}

/// The tree of a tenant's log, made anew of the hashes of its leaves, and compared with all that is stored of it. Gives its
/// size.
pub async fn tree(fixture: &Fixture, tenant: &str) -> u64 {
    let db = fixture.admin_connection().await;
    let bundles = format!(
        "SELECT b.start, b.records, b.frontier, COALESCE(b.leaves, t.hashes) AS hashes FROM audit_bundles b
         LEFT JOIN audit_tiles t ON t.tenant_id = b.tenant_id AND t.level = 0 AND t.number = b.start / 256
         WHERE b.tenant_id = '{tenant}' ORDER BY b.start"
    );
    let mut tree = Frontier::default();
    let mut newest = None;
    for row in rows(&db, bundles).await {
        let start: i64 = row.try_get("", "start").unwrap();
        assert_eq!(start.unsigned_abs(), tree.size(), "the rows do not follow each other");
        let hashes: Vec<u8> = row.try_get("", "hashes").unwrap();
        let (hashes, rest) = hashes.as_chunks::<32>();
        assert!(rest.is_empty());
        tree.extend(hashes.iter().map(|hash| Hash::from_bytes(*hash)));
        assert_eq!(tree.size(), (start + row.try_get::<i64>("", "records").unwrap()).unsigned_abs());
        newest = row.try_get::<Option<Vec<u8>>>("", "frontier").unwrap();
    }
    if tree.size() > 0 {
        assert_eq!(newest, Some(tree.encode()), "the newest row has another frontier");
    }
    let tiles =
        format!("SELECT level, number FROM audit_tiles WHERE tenant_id = '{tenant}' ORDER BY level, number");
    for row in rows(&db, tiles).await {
        let (level, number): (i64, i64) =
            (row.try_get("", "level").unwrap(), row.try_get("", "number").unwrap());
        assert!((number + 1).unsigned_abs() << (8 * (level + 1)) <= tree.size(), "{level} {number}");
    }
    db.close().await.unwrap();
    tree.size()
}

async fn rows(db: &DatabaseConnection, sql: String) -> Vec<QueryResult> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap()
}

pub async fn journal_rows(fixture: &Fixture) -> i64 {
    fixture.count("audit_journal").await
}
