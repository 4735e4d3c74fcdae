//! The writer of counts: one task that makes the reports that wait at a moment durable in one commit, with the vault's own
//! counts every few seconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_domain::{TenantId, UsageCounts};
use sea_orm::{ConnAcquireErr, DatabaseTransaction, DbErr};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::batches::{Batch, Prior, remember};
use super::buffer::{Buffer, note_lost};
use super::endpoints::KnownEndpoints;
use super::queue::{Place, Room};
use super::tally::Tally;
use crate::database::connect::Connections;
use crate::database::transaction::{begin_write, set_tenant};
use crate::{Database, Error};

/// How often the vault's own counts are written: what a killed process loses at most.
const FLUSH_INTERVAL: Duration = Duration::from_secs(2);
/// How many times as long as a commit took the writer pauses after it: reports that come meanwhile share the next one, and
/// the database has most of its time for fetches.
const PAUSE_FACTOR: u32 = 8;
/// The longest pause, which a report may wait for.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How many parts the replicas have for counts that all of them add to.
const SHARDS: u8 = 8;
/// How long closing waits for the database.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A report that waits.
pub(crate) struct Job {
    pub(crate) tenant: TenantId,
    pub(crate) batch: Batch,
    pub(crate) tally: Tally,
    pub(crate) done: oneshot::Sender<Written>,
    _place: Place,
}

/// What became of a report.
pub(crate) enum Written {
    Counted,
    /// It was counted before.
    Before,
    /// Its id was used for another request.
    Reused,
    Failed(Error),
}

/// The handle of the writer.
pub(crate) struct UsageWriter {
    jobs: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    room: Arc<Room>,
    task: Mutex<Option<JoinHandle<()>>>,
    pub(crate) buffer: Arc<Buffer>,
}

impl UsageWriter {
    /// `patience` is how long one write may take. `process` is random, made anew with each process.
    pub(crate) fn start(
        database: Database,
        connections: Arc<Connections>,
        patience: Duration,
        process: uuid::Uuid,
    ) -> Self {
        let (jobs, waiting) = mpsc::unbounded_channel();
        let buffer = Arc::new(Buffer::default());
        let shard = i64::from(process.as_bytes()[0] % SHARDS);
        let known = KnownEndpoints::default();
        let writer = Writer { database, connections, patience, shard, buffer: Arc::clone(&buffer), known };
        let task = tokio::spawn(writer.run(waiting));
        Self { jobs: Mutex::new(Some(jobs)), room: Arc::default(), task: Mutex::new(Some(task)), buffer }
    }

    /// Hands a report over; `done` gets what became of it.
    ///
    /// # Errors
    /// [`Error::TooManyReports`] if too many wait, and [`Error::Conflict`] if the writer has ended.
    pub(crate) fn send(
        &self,
        tenant: &TenantId,
        batch: Batch,
        tally: Tally,
        done: oneshot::Sender<Written>,
    ) -> Result<(), Error> {
        let place = self.room.take(tenant, &batch.service, tally.0.len()).ok_or(Error::TooManyReports)?;
        let job = Job { tenant: tenant.clone(), batch, tally, done, _place: place };
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = jobs.as_ref().map(|jobs| jobs.send(job).is_ok());
        sent.filter(|sent| *sent).map(drop).ok_or(Error::Conflict)
    }

    /// Accepts no more reports, and waits until all that was counted is durable, at most for a while.
    pub(crate) async fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return };
        match tokio::time::timeout(CLOSE_TIMEOUT, &mut task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the writer of usage ended with an error"),
            Err(_) => {
                tracing::error!("counts of usage could not be written");
                task.abort();
            }
        }
    }
}

/// The one task that writes.
struct Writer {
    database: Database,
    connections: Arc<Connections>,
    patience: Duration,
    shard: i64,
    buffer: Arc<Buffer>,
    known: KnownEndpoints,
}

/// What is written of one tenant.
#[derive(Default)]
struct Work {
    jobs: Vec<Job>,
    own: Tally,
}

/// Why nothing was written, or perhaps something.
enum Failure {
    /// The transaction was undone.
    Undone(DbErr),
    /// Its commit failed: whether it took effect is unknown.
    Unknown(DbErr),
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::Undone(error)
    }
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::UnboundedReceiver<Job>) {
        let mut flush = tokio::time::interval(FLUSH_INTERVAL);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let buffer = Arc::clone(&self.buffer);
        let (mut jobs, mut open, mut next) = (Vec::new(), true, Instant::now());
        while open {
            let own = tokio::select! {
                received = waiting.recv_many(&mut jobs, usize::MAX) => {
                    open = received > 0;
                    !open
                }
                _ = flush.tick() => true,
                () = buffer.crowded() => true,
            };
            if open {
                tokio::time::sleep_until(next).await;
            }
            let begun = Instant::now();
            while let Ok(job) = waiting.try_recv() {
                jobs.push(job);
            }
            self.write(std::mem::take(&mut jobs), own).await;
            next = Instant::now() + (begun.elapsed() * PAUSE_FACTOR).min(MAX_PAUSE);
        }
    }

    /// Writes reports, and the vault's own counts if it is time. A tenant that cannot be written does not keep the others.
    async fn write(&mut self, jobs: Vec<Job>, own: bool) {
        let mut work: BTreeMap<TenantId, Work> = BTreeMap::new();
        for job in jobs {
            // A caller that stopped waiting asks again.
            if !job.done.is_closed() {
                work.entry(job.tenant.clone()).or_default().jobs.push(job);
            }
        }
        for (tenant, tally) in own.then(|| self.buffer.take()).into_iter().flatten() {
            work.entry(tenant).or_default().own = tally;
        }
        match self.commit(work.iter()).await {
            Ok(priors) => work.into_values().zip(priors).for_each(|(work, priors)| work.done(&priors)),
            Err(Failure::Undone(_)) if work.len() > 1 => {
                for (tenant, work) in work {
                    match self.commit(std::iter::once((&tenant, &work))).await {
                        Ok(priors) => work.done(&priors.concat()),
                        Err(failure) => self.failed(&tenant, work, &failure).await,
                    }
                }
            }
            Err(failure) => {
                for (tenant, work) in work {
                    self.failed(&tenant, work, &failure).await;
                }
            }
        }
    }

    /// Writes all of it in one transaction.
    async fn commit(
        &mut self,
        work: impl Iterator<Item = (&TenantId, &Work)> + Clone,
    ) -> Result<Vec<Vec<Prior>>, Failure> {
        let silent = || DbErr::Custom("the database did not answer".to_owned());
        let patience = self.patience;
        let outcome = tokio::time::timeout(patience, self.transaction(work)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Failure::Unknown(silent())));
        if outcome.is_err() {
            self.known.forget();
        }
        outcome
    }

    async fn transaction(
        &mut self,
        work: impl Iterator<Item = (&TenantId, &Work)> + Clone,
    ) -> Result<Vec<Vec<Prior>>, Failure> {
        let Some((first, _)) = work.clone().next() else { return Ok(Vec::new()) };
        let tx = begin_write(&self.connections.writer(), self.database, first).await?;
        let mut all = Vec::new();
        for (tenant, work) in work {
            set_tenant(&tx, self.database, tenant).await?;
            all.push(self.add(&tx, tenant, work).await?);
        }
        tx.commit().await.map_err(Failure::Unknown)?;
        Ok(all)
    }

    /// Adds the counts of one tenant, without those of reports that were counted before.
    async fn add(
        &mut self,
        tx: &DatabaseTransaction,
        tenant: &TenantId,
        work: &Work,
    ) -> Result<Vec<Prior>, DbErr> {
        let batches: Vec<_> = work.jobs.iter().map(|job| &job.batch).collect();
        let priors = match batches.is_empty() {
            true => Vec::new(),
            false => remember(tx, self.database, tenant, &batches).await?,
        };
        let mut tally = work.own.clone();
        for (job, _) in work.jobs.iter().zip(&priors).filter(|(_, prior)| **prior == Prior::New) {
            for (key, (subject, counts)) in &job.tally.0 {
                tally.add(key.clone(), subject.clone(), counts);
            }
            // Large reports take milliseconds, which fetches must not wait for.
            tokio::task::yield_now().await;
        }
        let tally = self.known.fold(tx, self.database, tenant, tally).await?;
        tally.write(tx, self.database, tenant, self.shard).await?;
        Ok(priors)
    }

    /// Tells the callers, who ask again with the same ids. The vault's own counts are kept if they were surely not written,
    /// and given up if they may have been: they must not count twice.
    async fn failed(&self, tenant: &TenantId, work: Work, failure: &Failure) {
        metrics::counter!("credvault_usage_failures_total").increment(1);
        let Work { jobs, own } = work;
        let error = match failure {
            Failure::Undone(error) => {
                self.buffer.put_back(tenant, own);
                error
            }
            Failure::Unknown(error) => {
                own.0.values().for_each(|(_, counts)| note_lost(counts));
                error
            }
        };
        tracing::error!(%error, %tenant, "usage could not be written");
        if matches!(error, DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)) {
            self.connections.renew_unless_lately().await;
        }
        let text = error.to_string();
        for job in jobs {
            // The caller may have stopped waiting.
            let _ = job.done.send(Written::Failed(DbErr::Custom(text.clone()).into()));
        }
    }
}

impl Work {
    /// Tells the callers what became of their reports.
    fn done(self, priors: &[Prior]) {
        let mut counted = UsageCounts::default();
        for (job, prior) in self.jobs.into_iter().zip(priors) {
            let written = match prior {
                Prior::New => {
                    job.tally.0.values().for_each(|(_, counts)| counted.add(counts));
                    Written::Counted
                }
                Prior::Same => Written::Before,
                Prior::Other => Written::Reused,
            };
            // The caller may have stopped waiting.
            let _ = job.done.send(written);
        }
        metrics::counter!("credvault_usage_reported_calls_total")
            .increment(u64::try_from(counted.calls).unwrap_or_default());
    }
}
