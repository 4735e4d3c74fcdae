//! The lease of the sequencer: it lasts as long as a round that is at work, and no longer than a process that stands still.

use std::time::{Duration, Instant};

use credvault_store::StoreSettings;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, TransactionTrait as _};

use crate::audit::tree;
use crate::fixture::Fixture;

fn patient(settings: &mut StoreSettings) {
    settings.lock_timeout = Duration::from_secs(30);
    settings.statement_timeout = Duration::from_secs(30);
}

async fn locked(fixture: &Fixture, mode: &str) -> DatabaseTransaction {
    let tx = fixture.admin_connection().await.begin().await.unwrap();
    tx.execute_unprepared(&format!("LOCK TABLE audit_bundles IN {mode} MODE")).await.unwrap();
    tx
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_reads_for_longer_than_the_lease_keeps_it() {
    let fixture = Fixture::postgres().await;
    let (one, other) = (fixture.reopened(patient).await, fixture.reopened(patient).await);
    let (mut first, mut second) = (one.store.sequencer(), other.store.sequencer());
    first.round().await.unwrap();
    assert!(first.holds());
    fixture.tenant("acme").await;
    let lock = locked(&fixture, "ACCESS EXCLUSIVE").await;
    let reading = tokio::spawn(async move {
        let done = first.round().await;
        (first, done)
    });
    let end = Instant::now() + Duration::from_secs(6);
    while Instant::now() < end {
        second.round().await.unwrap();
        assert!(!second.holds(), "the lease was taken from a process that is at work");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    lock.rollback().await.unwrap();
    let (mut first, done) = reading.await.unwrap();
    assert!(done.unwrap().records >= 1);
    first.stop().await;
    assert_eq!(tree(&fixture, "acme").await, 1);
    one.store.close().await;
    other.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stands_still_inside_of_a_round_is_taken_over_from() {
    let fixture = Fixture::postgres().await;
    let (one, other) = (fixture.reopened(patient).await, fixture.reopened(patient).await);
    let (mut first, mut second) = (one.store.sequencer(), other.store.sequencer());
    first.round().await.unwrap();
    fixture.tenant("acme").await;
    // The round reads, and waits where it inserts.
    let lock = locked(&fixture, "SHARE").await;
    let mut round = Box::pin(first.round());
    let begun = tokio::time::timeout(Duration::from_secs(2), &mut round).await;
    assert!(begun.is_err(), "the round did not wait");
    // From here on nothing polls it, as in a process that was stopped.
    lock.rollback().await.unwrap();
    let end = Instant::now() + Duration::from_secs(12);
    while second.round().await.is_ok_and(|done| done.records == 0) || !second.holds() {
        assert!(Instant::now() < end, "the lease was not taken over");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(round);
    second.stop().await;
    assert_eq!(tree(&fixture, "acme").await, 1);
    one.store.close().await;
    other.store.close().await;
}
