//! Records whose calls do not wait for them, because the operator has chosen so for their actions. A process that is killed
//! loses them, so what may be lost is bounded: while the oldest record is not durable for longer than `loss`, or `records` are not
//! durable, calls of these actions wait as all others do.
//!
//! What was accepted stays here until it is durable, and is written again as often as it takes, as the same row of the journal.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use credvault_domain::{AuditEvent, AuditOutcome};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::journal::{Entry, fitting};
use super::write::JournalWriter;
use crate::database::settings::Buffered;

/// The most calls whose records share a row.
const MAX_BATCH: usize = 512;
/// How long a failed write is left alone.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How long closing waits for the database.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The buffer of a process.
pub(super) struct Buffer {
    settings: Buffered,
    waiting: Arc<Waiting>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What is not durable yet.
#[derive(Default)]
struct Waiting {
    queue: Mutex<Queue>,
    /// A call has added its records, or the buffer was closed.
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    /// The records of each call, and when it was answered, the oldest first. What is being written is still there.
    calls: VecDeque<(Instant, Vec<Entry>)>,
    records: usize,
    is_closed: bool,
}

impl Buffer {
    /// A buffer that takes records if there are actions that do not wait.
    pub(super) fn start(settings: Buffered, writer: &Arc<JournalWriter>) -> Self {
        let waiting = Arc::<Waiting>::default();
        let writer = (!settings.actions.is_empty()).then(|| {
            let names: Vec<_> = settings.actions.iter().map(|action| action.as_str()).collect();
            let (loss, records) = (settings.loss, settings.records);
            tracing::warn!(
                actions = names.join(" "),
                "answers of these actions do not wait for their audit records: a process that is killed loses the records of up to \
                 {loss:?}, at most {records}"
            );
            tokio::spawn(write_all(Arc::clone(writer), Arc::clone(&waiting)))
        });
        Self { settings, waiting, writer: Mutex::new(writer) }
    }

    /// Takes the records of a call if it need not wait for them. Gives them back if it must.
    pub(super) fn take(&self, events: &[AuditEvent], entries: Vec<Entry>) -> Result<(), Vec<Entry>> {
        let need_not_wait = |event: &AuditEvent| {
            self.settings.actions.contains(&event.action)
                && event.outcome == AuditOutcome::Ok
                && event.released.is_empty()
        };
        if !events.iter().all(need_not_wait) {
            return Err(entries);
        }
        let mut queue = self.waiting.queue();
        let is_old = queue.calls.front().is_some_and(|(time, _)| time.elapsed() >= self.settings.loss);
        if queue.is_closed || is_old || queue.records + entries.len() > self.settings.records {
            return Err(entries);
        }
        metrics::counter!("credvault_audit_buffered_total").increment(entries.len() as u64);
        queue.records += entries.len();
        queue.calls.push_back((Instant::now(), entries));
        queue.show();
        drop(queue);
        self.waiting.changed.notify_one();
        Ok(())
    }

    /// Takes no more records, and waits until those that it has are durable, for a while.
    pub(super) async fn close(&self) {
        self.waiting.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut writer) = writer else { return };
        if tokio::time::timeout(CLOSE_TIMEOUT, &mut writer).await.is_err() {
            writer.abort();
        }
        let lost = self.waiting.queue().records;
        if lost > 0 {
            tracing::error!(
                lost,
                "audit records of calls that were answered could not be written and are lost"
            );
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.waiting.close();
    }
}

impl Waiting {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.queue().is_closed = true;
        self.changed.notify_one();
    }

    /// The next records that fit into a row and of how many calls they are, as soon as there are any; `None` if there are none
    /// and the buffer is closed.
    async fn next(&self) -> Option<(usize, Vec<Entry>)> {
        loop {
            {
                let queue = self.queue();
                if !queue.calls.is_empty() {
                    return Some(queue.next());
                }
                if queue.is_closed {
                    return None;
                }
            }
            // A notification before this line is kept.
            self.changed.notified().await;
        }
    }

    /// Forgets the records of so many calls, which are durable.
    fn forget(&self, calls: usize) {
        let mut queue = self.queue();
        let records: usize = queue.calls.drain(..calls).map(|(_, entries)| entries.len()).sum();
        queue.records -= records;
        queue.show();
    }
}

impl Queue {
    /// The oldest records that fit into a row, and of how many calls they are.
    fn next(&self) -> (usize, Vec<Entry>) {
        let bytes = |(_, entries): &(Instant, Vec<Entry>)| entries.iter().map(Entry::bytes).sum::<usize>();
        let calls = fitting(self.calls.iter().take(MAX_BATCH).map(bytes));
        let entries = self.calls.iter().take(calls).flat_map(|(_, entries)| entries.iter().cloned());
        (calls, entries.collect())
    }

    fn show(&self) {
        let records = u32::try_from(self.records).unwrap_or(u32::MAX);
        metrics::gauge!("credvault_audit_buffered_records").set(f64::from(records));
    }
}

/// Writes what waits, row after row, until the buffer is closed and empty.
async fn write_all(writer: Arc<JournalWriter>, waiting: Arc<Waiting>) {
    while let Some((calls, entries)) = waiting.next().await {
        let row = loop {
            match writer.seal(&entries) {
                Some(row) => break row,
                None => tokio::time::sleep(RETRY_INTERVAL).await,
            }
        };
        // Always the same row: if an attempt whose end is not known has written it, its id is taken.
        while !writer.write(row.clone()).await {
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        waiting.forget(calls);
    }
}
