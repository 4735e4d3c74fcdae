//! Records whose calls do not wait for them: what is answered, what is lost at most, and what waits all the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use credvault_domain::{Action, AuditEvent, AuditOutcome, TraceId};
use credvault_store::{Buffered, Error, StoreSettings};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, TransactionTrait as _};

use crate::fixture::{Fixture, event, permit, scope};
use crate::on_both;

on_both![what_was_accepted_is_durable_after_an_orderly_end];

const LOSS: Duration = Duration::from_millis(400);
/// How long a call waits for its record.
const PATIENCE: Duration = Duration::from_millis(300);

fn buffered(settings: &mut StoreSettings, records: usize) {
    settings.buffered = Buffered { actions: [Action::ListConnections].into(), loss: LOSS, records };
    settings.audit_timeout = PATIENCE;
    // A write that waits for the lock is tried anew while the lock is held.
    settings.lock_timeout = Duration::from_millis(150);
}

/// A call with a trace of its own.
fn call(action: Action, number: u8) -> AuditEvent {
    AuditEvent { trace: TraceId::from_bytes([number; 16]), ..event(&scope("acme", None), action) }
}

async fn record(fixture: &Fixture, event: AuditEvent) -> Result<(), Error> {
    fixture.store.audit().record(&permit(), event, ()).await.map(credvault_store::Recorded::into_inner)
}

async fn locked(fixture: &Fixture) -> DatabaseTransaction {
    let tx = fixture.admin_connection().await.begin().await.unwrap();
    tx.execute_unprepared("LOCK TABLE audit_journal IN ACCESS EXCLUSIVE MODE").await.unwrap();
    tx
}

/// How often each trace is in the log.
async fn traces(fixture: &Fixture) -> BTreeMap<String, usize> {
    let mut traces = BTreeMap::new();
    for record in fixture.records("acme").await {
        *traces.entry(record.trace).or_default() += 1;
    }
    traces
}

/// Waits until these calls are in the log, each once.
async fn await_records(fixture: &Fixture, calls: &[u8]) {
    let all = async {
        loop {
            let traces = traces(fixture).await;
            let times = |call: &u8| traces.get(&TraceId::from_bytes([*call; 16]).to_string()).copied();
            if calls.iter().all(|call| times(call).is_some()) {
                assert!(calls.iter().all(|call| times(call) == Some(1)), "{traces:?}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("answered calls are not on record");
}

async fn what_was_accepted_is_durable_after_an_orderly_end(fixture: &Fixture) {
    fixture.tenant("acme").await;
    let other = fixture.reopened(|settings| buffered(settings, 1000)).await;
    // Records of the fixture have the trace 7.
    let calls: Vec<u8> = (101..=160).collect();
    for number in &calls {
        record(&other, call(Action::ListConnections, *number)).await.unwrap();
    }
    other.store.close().await;
    let traces = traces(fixture).await;
    for number in calls {
        assert_eq!(traces.get(&TraceId::from_bytes([number; 16]).to_string()), Some(&1), "{number}");
    }
    let closed = record(&other, call(Action::ListConnections, 161)).await;
    assert!(matches!(closed, Err(Error::AuditUnavailable)), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_refused_after_the_bound_and_not_before() {
    let fixture = Fixture::postgres().await;
    fixture.tenant("acme").await;
    let fixture = fixture.reopened(|settings| buffered(settings, 1000)).await;
    let lock = locked(&fixture).await;
    let begun = Instant::now();
    let mut answered = Vec::new();
    for number in 8..=u8::MAX {
        match record(&fixture, call(Action::ListConnections, number)).await {
            Ok(()) => answered.push(number),
            Err(error) => {
                assert!(matches!(error, Error::AuditUnavailable), "{error:?}");
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = begun.elapsed();
    assert!(!answered.is_empty() && answered.len() < usize::from(u8::MAX), "{}", answered.len());
    assert!(took >= LOSS, "refused after {took:?}");
    assert!(fixture.store.ping().await.is_err(), "ready although the log fails");
    lock.rollback().await.unwrap();
    await_records(&fixture, &answered).await;
    record(&fixture, call(Action::ListConnections, 0xfe)).await.unwrap();
    await_records(&fixture, &[0xfe]).await;
    fixture.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_records_wait_than_may_be_lost() {
    let fixture = Fixture::postgres().await;
    fixture.tenant("acme").await;
    let fixture = fixture.reopened(|settings| buffered(settings, 100)).await;
    let lock = locked(&fixture).await;
    let calls = (0..130).map(|_| record(&fixture, call(Action::ListConnections, 1)));
    let ended = futures::future::join_all(calls).await;
    assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), 100);
    lock.rollback().await.unwrap();
    fixture.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_calls_refusals_and_what_is_released_wait() {
    let fixture = Fixture::postgres().await;
    fixture.tenant("acme").await;
    let with = fixture.reopened(|settings| buffered(settings, 1000)).await;
    let without = fixture.reopened(|settings| settings.audit_timeout = PATIENCE).await;
    let lock = locked(&fixture).await;
    let denied = AuditEvent { outcome: AuditOutcome::Denied, ..call(Action::ListConnections, 1) };
    let released =
        AuditEvent { released: vec!["refresh_token".to_owned()], ..call(Action::ListConnections, 2) };
    for waiting in [denied.clone(), released, call(Action::FetchCredential, 3)] {
        let refused = record(&with, waiting.clone()).await;
        assert!(matches!(refused, Err(Error::AuditUnavailable)), "{waiting:?}");
    }
    assert!(with.store.audit().record_refusal(denied).await.is_err());
    // In a batch, one that waits has all wait.
    let batch = vec![call(Action::ListConnections, 4), call(Action::FetchCredential, 4)];
    let batch = with.store.audit().record_fetches(&permit(), batch, Vec::new(), "CANARY").await;
    assert!(matches!(batch, Err(Error::AuditUnavailable)));
    record(&with, call(Action::ListConnections, 5)).await.unwrap();
    // By default, nothing is answered before its record.
    let refused = record(&without, call(Action::ListConnections, 6)).await;
    assert!(matches!(refused, Err(Error::AuditUnavailable)), "{refused:?}");
    lock.rollback().await.unwrap();
    await_records(&fixture, &[5]).await;
    with.store.close().await;
    without.store.close().await;
}
