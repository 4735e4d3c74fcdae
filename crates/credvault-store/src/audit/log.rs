//! The writer of the audit log: it makes the records of all calls that wait at that moment durable in one commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use credvault_domain::{AuditEvent, ConnectionId, TenantId};
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait as _,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _,
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::audit::row::{active, json_row};
use crate::database::connect::Connections;
use crate::entity::audit_event;
use crate::{Database, Error};

/// The most calls that share a commit.
const MAX_BATCH: usize = 256;
/// The most calls that may wait for the writer; more are refused at once.
const MAX_WAITING: usize = 16 * 1024;

/// How long a failure counts against the log's health.
const UNHEALTHY_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// How long closing waits for the database.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

type Used = (TenantId, ConnectionId);

struct Job {
    events: Vec<AuditEvent>,
    used: Vec<Used>,
    done: oneshot::Sender<bool>,
}

/// The handle of the writer.
pub(crate) struct AuditLog {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    timeout: Duration,
    failed: Arc<Failed>,
}

/// When a write last failed, unless one has succeeded since.
#[derive(Default)]
struct Failed(Mutex<Option<Instant>>);

impl Failed {
    fn note(&self, written: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (!written).then(Instant::now);
    }
}

impl AuditLog {
    /// `patience` is how long one write may take before its connection counts as dead.
    pub(crate) fn start(
        database: Database,
        connections: Arc<Connections>,
        timeout: Duration,
        patience: Duration,
    ) -> Self {
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        let failed = Arc::new(Failed::default());
        let writer = Writer { database, connections, patience, failed: Arc::clone(&failed) };
        let writer = tokio::spawn(writer.run(waiting));
        Self { jobs: Mutex::new(Some(jobs)), writer: Mutex::new(Some(writer)), timeout, failed }
    }

    /// Whether records can be written, as far as is known: the writer runs, and did not fail a moment ago.
    pub(crate) fn is_well(&self) -> bool {
        let failed = *self.failed.0.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_none_or(|time| time.elapsed() > UNHEALTHY_AFTER_FAILURE)
            && writer.as_ref().is_some_and(|writer| !writer.is_finished())
    }

    /// Waits until the records are durable.
    pub(crate) async fn append(&self, events: Vec<AuditEvent>, used: Vec<Used>) -> Result<(), Error> {
        let (done, written) = oneshot::channel();
        let jobs = self.jobs.lock().ok().and_then(|jobs| jobs.clone()).ok_or(Error::AuditUnavailable)?;
        // Handed over without waiting. If this wait ends first, the caller was not told of a record, and there is none.
        jobs.try_send(Job { events, used, done }).map_err(|_| Error::AuditUnavailable)?;
        match tokio::time::timeout(self.timeout, written).await {
            Ok(Ok(true)) => Ok(()),
            _ => {
                metrics::counter!("credvault_audit_failures_total").increment(1);
                Err(Error::AuditUnavailable)
            }
        }
    }

    /// Accepts no more records and waits for those accepted, at most for a while.
    pub(crate) async fn close(&self) {
        drop(self.jobs.lock().ok().and_then(|mut jobs| jobs.take()));
        let writer = self.writer.lock().ok().and_then(|mut writer| writer.take());
        let Some(mut writer) = writer else { return };
        match tokio::time::timeout(CLOSE_TIMEOUT, &mut writer).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the audit writer ended with an error"),
            Err(_) => {
                tracing::error!("audit records of calls that have ended could not be written");
                writer.abort();
            }
        }
    }
}

/// The one task that writes.
struct Writer {
    database: Database,
    connections: Arc<Connections>,
    patience: Duration,
    failed: Arc<Failed>,
}

impl Writer {
    async fn run(self, mut waiting: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
            metrics::histogram!("credvault_audit_batch_calls")
                .record(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
            // A caller that stopped waiting has reported that there is no record.
            batch.retain(|job| !job.done.is_closed());
            match self.write(&batch).await {
                // One bad record must not refuse its neighbours.
                Written::BadRecord if batch.len() > 1 => {
                    for job in batch.drain(..) {
                        let written = self.write(std::slice::from_ref(&job)).await;
                        finish(job, written == Written::Yes);
                    }
                }
                written @ (Written::Yes | Written::BadRecord | Written::No) => {
                    batch.drain(..).for_each(|job| finish(job, written == Written::Yes))
                }
            }
        }
    }

    async fn write(&self, batch: &[Job]) -> Written {
        if batch.is_empty() {
            return Written::Yes;
        }
        // A connection whose other end vanished without a word would otherwise hold the log for many minutes.
        let written = {
            let db = self.connections.writer();
            tokio::time::timeout(self.patience, write(self.database, &db, batch)).await
        };
        let written = match written {
            Ok(Ok(())) => Written::Yes,
            Ok(Err(error)) => {
                tracing::error!(%error, "audit records could not be written");
                // Connections that were not returned in all that time wait for the same silent server.
                if matches!(error, DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)) {
                    self.connections.renew_unless_lately().await;
                }
                if crate::error::of_the_data(&error) { Written::BadRecord } else { Written::No }
            }
            Err(_) => {
                tracing::error!("the database did not answer the audit log");
                self.connections.renew().await;
                Written::No
            }
        };
        self.failed.note(written != Written::No);
        written
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Yes,
    /// The database takes writes, and not these.
    BadRecord,
    No,
}

fn finish(job: Job, written: bool) {
    // The caller may have stopped waiting.
    let _ = job.done.send(written);
}

async fn write(database: Database, db: &DatabaseConnection, batch: &[Job]) -> Result<(), DbErr> {
    let events: Vec<_> = batch.iter().flat_map(|job| &job.events).collect();
    let mut used = Vec::new();
    for job in batch {
        let time = job.events.first().map_or(0, |event| event.time.micros());
        used.extend(job.used.iter().map(|(tenant, connection)| (tenant, connection, time)));
    }
    match database {
        Database::Postgres => {
            let events = events.into_iter().map(|event| (event.tenant.as_str(), json_row(event)));
            let used = used.into_iter().map(|(tenant, id, time)| {
                (tenant.as_str(), json!({ "id": id.as_uuid().to_string(), "time": time }))
            });
            let sql = "SELECT append_audit_events($1, $2)";
            let values = [by_tenant(events).into(), by_tenant(used).into()];
            db.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
        }
        Database::Sqlite => {
            let mode = Some(SqliteTransactionMode::Immediate);
            let options =
                TransactionOptions { sqlite_transaction_mode: mode, ..TransactionOptions::default() };
            let tx = db.begin_with_options(options).await?;
            // Under SQLite's limit of 32,766 parameters.
            for events in events.chunks(500) {
                audit_event::Entity::insert_many(events.iter().map(|event| active(event)))
                    .exec_without_returning(&tx)
                    .await?;
            }
            for (tenant, id, time) in used {
                let sql = "UPDATE connections SET last_used_time = $3 WHERE tenant_id = $1 AND id = $2
                    AND (last_used_time IS NULL OR last_used_time < $3 - 60000000)";
                let values = [tenant.as_str().into(), id.as_uuid().into(), time.into()];
                tx.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
            }
            tx.commit().await?;
        }
    }
    Ok(())
}

/// `[{"tenant": …, "rows": […]}]`: row-level security takes one tenant at a time.
fn by_tenant<'a>(rows: impl Iterator<Item = (&'a str, Value)>) -> Value {
    let mut tenants: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (tenant, row) in rows {
        tenants.entry(tenant).or_default().push(row);
    }
    tenants.into_iter().map(|(tenant, rows)| json!({ "tenant": tenant, "rows": rows })).collect()
}
