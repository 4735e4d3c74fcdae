//! The replica that sequences stands still, as a machine does that is paused: another one takes over within seconds, and the
//! first one does no harm when it wakes up.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::load::{self, Load};
use super::log;
use super::replicas::Replicas;
use crate::harness::{VaultBuilder, eventually};

const ALL: [usize; 3] = [0, 1, 2];
const CALLERS: usize = 8;
/// How long records wait at most until another replica appends them.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(10);

/// The sequencer's transactions that have extended the lease, and wait until they may write bundles.
const WAITING: &str = "pg_locks AS waiting JOIN pg_locks AS held ON held.pid = waiting.pid
    JOIN pg_database AS d ON d.oid = waiting.database
    WHERE d.datname = current_database() AND NOT waiting.granted
    AND waiting.relation = 'audit_bundles'::regclass
    AND held.granted AND held.relation = 'audit_sequencer'::regclass AND held.mode = 'RowExclusiveLock'";

/// Waits until one of the other replicas sequences, and gives its number.
async fn taken_over(replicas: &Replicas, stopped: usize, since: Instant) -> usize {
    let others: Vec<usize> = ALL.into_iter().filter(|number| *number != stopped).collect();
    let next = replicas.sequencing(&others).await;
    assert!(since.elapsed() < TAKEN_OVER_WITHIN, "taken over after {:?}", since.elapsed());
    next
}

/// Wakes the stopped replica: it serves again, and leaves the log to the one that has taken over until that ends.
async fn wakes(replicas: Replicas, load: Load, stopped: usize, next: usize) {
    let before = load.answered(stopped);
    replicas.signal(stopped, Signal::CONT);
    eventually("the one that woke up answers", || async { load.answered(stopped) > before }).await;
    let (kept, _) = log::checkpoint(&replicas.client(next)).await;
    assert_eq!(replicas.sequencing(&ALL).await, next, "the lease stays where it is");

    let killed = Instant::now();
    replicas.signal(next, Signal::KILL);
    taken_over(&replicas, next, killed).await;
    let calls = load.stop().await;
    let records = log::records(&replicas.vault, &replicas.client(stopped), &[kept]).await;
    load::each_is_recorded_once(&calls, &records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequencer_that_stands_still_is_replaced() {
    let replicas = Replicas::start(VaultBuilder::postgres().prepare().await, ALL.len()).await;
    let load = Load::start(&replicas.clients(), CALLERS, &replicas.id);
    let stopped = replicas.sequencing(&ALL).await;
    let since = Instant::now();
    replicas.signal(stopped, Signal::STOP);
    let next = taken_over(&replicas, stopped, since).await;
    wakes(replicas, load, stopped, next).await;
}

/// The worst moment: its transaction has extended the lease and is not committed, so that the row of the lease is locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequencer_that_stands_still_in_its_transaction_is_replaced() {
    let replicas = Replicas::start(VaultBuilder::postgres().prepare().await, ALL.len()).await;
    let load = Load::start(&replicas.clients(), CALLERS, &replicas.id);
    let stopped = replicas.sequencing(&ALL).await;
    let lock = replicas.vault.blocking("LOCK TABLE audit_bundles IN SHARE MODE").await;
    eventually("its transaction waits", || async { replicas.vault.count(WAITING).await > 0 }).await;
    let since = Instant::now();
    replicas.signal(stopped, Signal::STOP);
    lock.rollback().await.unwrap();
    let next = taken_over(&replicas, stopped, since).await;
    wakes(replicas, load, stopped, next).await;
}
