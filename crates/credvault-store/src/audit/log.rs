//! The writer of the journal: it makes the records of all calls that wait at that moment durable in one row, by one commit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use credvault_domain::{AuditEvent, Clock, Random, chain};
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::journal::{Entry, JournalKeys, fitting, insert};
use crate::Error;
use crate::database::connect::Connections;

/// The most calls that share a commit.
const MAX_BATCH: usize = 512;
/// The most calls that may wait for the writer; more are refused at once.
const MAX_WAITING: usize = 16 * 1024;
/// How many commits are in flight at a time. With one, a batch grows with the commit's latency.
const LANES: usize = 1;

/// How long a failure counts against the log's health.
const UNHEALTHY_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// How long closing waits for the database.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The records of one call.
struct Job {
    entries: Vec<Entry>,
    done: oneshot::Sender<bool>,
}

/// What the writer works with.
pub(crate) struct Journal {
    pub(crate) connections: Arc<Connections>,
    pub(crate) keys: Arc<JournalKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    /// How long one write may take before its connection counts as dead.
    pub(crate) patience: Duration,
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
    /// Starts the writer; a call waits for `timeout` at most.
    pub(crate) fn start(journal: Journal, timeout: Duration) -> Self {
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        let failed = Arc::new(Failed::default());
        let writer = Writer { journal, failed: Arc::clone(&failed) };
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
    pub(crate) async fn append(&self, events: &[AuditEvent]) -> Result<(), Error> {
        // Made here and not by the writer: one that is too long fails its own call and no other.
        let entries: Result<Vec<_>, _> = events.iter().map(Entry::of).collect();
        let entries = entries.map_err(|error| {
            tracing::error!(error = chain(&error), "an audit record could not be written");
            Error::AuditUnavailable
        })?;
        let (done, written) = oneshot::channel();
        let jobs = self.jobs.lock().ok().and_then(|jobs| jobs.clone()).ok_or(Error::AuditUnavailable)?;
        // Handed over without waiting. If this wait ends first, the call is refused although there may be a record.
        jobs.try_send(Job { entries, done }).map_err(|_| Error::AuditUnavailable)?;
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
    journal: Journal,
    failed: Arc<Failed>,
}

impl Writer {
    async fn run(self, waiting: mpsc::Receiver<Job>) {
        let waiting = tokio::sync::Mutex::new(waiting);
        futures::future::join_all((0..LANES).map(|_| self.lane(&waiting))).await;
    }

    /// Writes batch after batch, each of what waits when the commit before is done.
    async fn lane(&self, waiting: &tokio::sync::Mutex<mpsc::Receiver<Job>>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        loop {
            if waiting.lock().await.recv_many(&mut batch, MAX_BATCH).await == 0 {
                return;
            }
            metrics::histogram!("credvault_audit_batch_calls")
                .record(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
            // A caller that stopped waiting has reported that there is no record.
            batch.retain(|job| !job.done.is_closed());
            while !batch.is_empty() {
                let bytes = |job: &Job| job.entries.iter().map(Entry::bytes).sum::<usize>();
                let fitting = fitting(batch.iter().map(bytes));
                let part: Vec<_> = batch.drain(..fitting).collect();
                let written = self.write(&part).await;
                self.failed.note(written);
                // The callers may have stopped waiting.
                for job in part {
                    // The caller may have gone away.
                    let _ = job.done.send(written);
                }
            }
        }
    }

    /// Writes a row, and says whether it is durable.
    async fn write(&self, batch: &[Job]) -> bool {
        let Journal { connections, keys, clock, random, patience } = &self.journal;
        let entries: Vec<_> = batch.iter().flat_map(|job| job.entries.iter().cloned()).collect();
        if entries.is_empty() {
            return true;
        }
        let row = match keys.seal(&entries, (clock.now(), 0), &**random) {
            Ok(row) => row,
            Err(error) => {
                tracing::error!(error = chain(&error), "audit records could not be sealed");
                return false;
            }
        };
        // A connection whose other end vanished without a word would otherwise hold the log for many minutes.
        let db = connections.writer();
        let written = tokio::time::timeout(*patience, insert(&db, vec![row])).await;
        drop(db);
        match written {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "audit records could not be written");
                // Connections that were not returned in all that time wait for the same silent server.
                if matches!(error, DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)) {
                    connections.renew_unless_lately().await;
                }
                false
            }
            Err(_) => {
                tracing::error!("the database did not answer the audit log");
                connections.renew().await;
                false
            }
        }
    }
}
