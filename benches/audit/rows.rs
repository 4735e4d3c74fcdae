//! The way of earlier releases: a row for each record, by the function that they call, one batch after the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use credvault_domain::TenantId;
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DbBackend, Statement};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::event;
use crate::server::Server;

/// How long it is measured.
const LOAD: Duration = Duration::from_secs(3);

/// The CPU of the database for each record, in microseconds, with so many in a batch.
pub(crate) async fn cpu_of_record(server: &Server, tenants: &[TenantId], batch: usize) -> f64 {
    let url = format!("{}?options=-csearch_path%3Dcredvault", server.database.url);
    let db =
        Database::connect(ConnectOptions::new(url).max_connections(1).sqlx_logging(false).to_owned()).await;
    let db = db.unwrap();
    let (cpu, begun, mut records) = (server.cpu(), Instant::now(), 0_u64);
    while begun.elapsed() < LOAD {
        let mut of_tenants: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for number in records..records + batch as u64 {
            let tenant = &tenants[number as usize % tenants.len()];
            of_tenants.entry(tenant.as_str()).or_default().push(row(tenant, number));
        }
        let events: Value =
            of_tenants.into_iter().map(|(tenant, rows)| json!({ "tenant": tenant, "rows": rows })).collect();
        let sql = "SELECT append_audit_events($1, '[]'::jsonb)";
        let append = Statement::from_sql_and_values(DbBackend::Postgres, sql, [events.into()]);
        db.execute_raw(append).await.unwrap();
        records += batch as u64;
    }
    let used = server.cpu() - cpu;
    db.close().await.unwrap();
    used.as_secs_f64() * 1e6 / records as f64
}

fn row(tenant: &TenantId, number: u64) -> Value {
    let event = event(tenant, number);
    let mut random = [0; 16];
    credvault_domain::Random::fill(&credvault_crypto::SystemRandom, &mut random).unwrap();
    // As the ids of records: first the time.
    let mut tail = [0; 10];
    tail.copy_from_slice(&random[..10]);
    let id: Uuid =
        uuid::Builder::from_unix_timestamp_millis(1_764_230_400_000 + number / 50, &tail).into_uuid();
    json!({
        "tenant_id": tenant.as_str(),
        "id": id.to_string(),
        "time": 1_764_230_400_000_000_u64 + number,
        "service": event.service.as_ref().map(|service| service.as_str()),
        "user_id": event.user.as_ref().map(|user| user.as_str()),
        "tenant_source": event.tenant_source.as_str(),
        "action": event.action.as_str(),
        "connection_id": event.connection.map(|id| id.to_string()),
        "provider": event.provider.as_ref().map(|provider| provider.as_str()),
        "version": event.version,
        "changed": [],
        "outcome": event.outcome.as_str(),
        "policies": event.policies,
        "trace_id": event.trace.to_string(),
        "source_address": event.source_address.map(|address| address.to_string()),
    })
}
