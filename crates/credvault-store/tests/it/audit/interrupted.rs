//! Each record is in its tenant's log once, whatever ends in the middle of its work.

use std::time::{Duration, Instant};

use crate::audit::{ids, journal_rows, record, tree};
use crate::fixture::Fixture;
use crate::on_both;

on_both![
    records_come_into_their_tenants_logs_once,
    a_round_that_is_dropped_anywhere_loses_and_doubles_nothing,
    one_process_sequences_at_a_time,
];

async fn records_come_into_their_tenants_logs_once(fixture: &Fixture) {
    let (acme, beta) = (fixture.tenant("acme").await, fixture.tenant("beta").await);
    for count in [1, 40, 300, 700] {
        record(fixture, &acme, count).await;
        record(fixture, &beta, 3).await;
        let before = (ids(fixture, "acme").await, ids(fixture, "beta").await);
        assert!(journal_rows(fixture).await > 0);
        fixture.sequence().await;
        assert_eq!(journal_rows(fixture).await, 0);
        assert_eq!((ids(fixture, "acme").await, ids(fixture, "beta").await), before);
    }
    // With that of the tenant's creation.
    assert_eq!((tree(fixture, "acme").await, tree(fixture, "beta").await), (1042, 13));
    assert_eq!(fixture.count("audit_tiles WHERE tenant_id = 'acme'").await, 4, "1,042 / 256");
    assert_eq!(fixture.count("audit_bundles WHERE tenant_id = 'acme' AND leaves IS NULL").await, 4);
    assert_eq!(tree(fixture, ":platform").await, ids(fixture, ":platform").await.len() as u64);
}

async fn a_round_that_is_dropped_anywhere_loses_and_doubles_nothing(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let mut dropped = 0;
    for attempt in 0..60_u32 {
        record(fixture, &acme, 30).await;
        // What a process does that is killed: its transaction is undone, and another one begins anew.
        let mut sequencer = fixture.store.sequencer();
        let moment = Duration::from_micros(u64::from(attempt) * 150);
        dropped += u32::from(tokio::time::timeout(moment, sequencer.round()).await.is_err());
    }
    assert!(dropped > 10, "{dropped} rounds were dropped");
    fixture.sequence().await;
    assert_eq!(ids(fixture, "acme").await.len(), 1801);
    assert_eq!(tree(fixture, "acme").await, 1801);
    assert_eq!(journal_rows(fixture).await, 0);
}

async fn one_process_sequences_at_a_time(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = fixture.reopened(|_| {}).await;
    let (mut first, mut second) = (fixture.store.sequencer(), other.store.sequencer());
    record(fixture, &acme, 5).await;
    assert!(first.round().await.unwrap().records >= 5);
    record(fixture, &acme, 5).await;
    assert_eq!(second.round().await.unwrap().records, 0);
    assert!(first.holds() && !second.holds());

    // The first one is stopped for longer than its lease, and wakes up when the second has taken over.
    fixture.execute("UPDATE audit_sequencer SET lease_time = 1").await;
    let end = Instant::now() + Duration::from_secs(10);
    while second.round().await.unwrap().records == 0 {
        assert!(Instant::now() < end, "the lease was not taken over");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    record(fixture, &acme, 5).await;
    assert!(first.round().await.is_err(), "a process with an old epoch has written");
    assert_eq!(second.round().await.unwrap().records, 5);
    second.stop().await;
    assert_eq!(tree(fixture, "acme").await, 16);
    assert_eq!(ids(fixture, "acme").await.len(), 16);
    other.store.close().await;
}
