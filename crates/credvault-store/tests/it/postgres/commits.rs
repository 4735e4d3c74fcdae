//! What calls cost and wait for: round trips, shared commits, locks, and a server that vanishes.

use std::task::Poll;
use std::time::Duration;

use credvault_domain::{Action, Clock as _};
use credvault_store::{Selector, StoreSettings};
use credvault_testkit::RoundTrips;
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};

use crate::fixture::{Fixture, by_provider, event, open_store, permit, scope};

/// The read of a fetch is one round trip; its audit record is one more, which it shares with others.
#[tokio::test]
async fn a_fetch_takes_one_round_trip() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    let trips = RoundTrips::start(fixture.postgres.as_ref().unwrap().port);
    let port = fixture.postgres.as_ref().unwrap().port.to_string();
    let url = fixture.postgres.as_ref().unwrap().url.replace(&port, &trips.port.to_string());
    let settings = StoreSettings { url: url.into(), max_connections: 1, ..fixture.settings.clone() };
    let store = open_store(&settings, &fixture.folder, &fixture.clock).await.unwrap();
    let by_id = Selector::Connection { id, version: None };
    for selector in [by_id, by_provider(Some("u1"), None), by_provider(None, Some("a"))] {
        // The first time, the statement is prepared.
        store.credentials().fetch(&scope, &selector).await.unwrap();
        // The proof of life on its own connection may come between.
        let mut least = u64::MAX;
        for _ in 0..5 {
            let before = trips.count();
            let fetched = store.credentials().fetch(&scope, &selector).await.unwrap();
            store.credentials().open(&fetched, fixture.clock.now(), false).await.unwrap();
            least = least.min(trips.count() - before);
        }
        assert_eq!(least, 1, "{selector:?}");
    }
    store.audit().record(&permit(), event(&scope, Action::FetchCredential), ()).await.unwrap().into_inner();
    let mut least = u64::MAX;
    for _ in 0..5 {
        let events = vec![event(&scope, Action::FetchCredential)];
        let used = vec![(scope.tenant().clone(), id)];
        let before = trips.count();
        store.audit().record_fetches(&permit(), events, used, ()).await.unwrap().into_inner();
        least = least.min(trips.count() - before);
    }
    assert_eq!(least, 1, "the audit record");
    store.close().await;
}

/// A caller may go away while a transaction begins. What is written over the same connection next has to be committed.
#[tokio::test]
async fn a_beginning_that_is_dropped_leaves_no_transaction_open() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    let open = "SELECT coalesce(string_agg(query, '; '), '') FROM pg_stat_activity
        WHERE state = 'idle in transaction' AND datname = current_database()";
    let mut dropped = 0;
    for polls in 1..30 {
        let mut sequencer = fixture.store.sequencer();
        dropped += u32::from(polled(sequencer.round(), polls).await.is_none());
        // The connection comes back to the pool.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(database.psql(open), "", "after {polls} polls");
    }
    assert!(dropped > 2, "{dropped} rounds were dropped");
}

/// What a future gives within so many polls; it is dropped after them.
async fn polled<F: Future>(future: F, polls: u32) -> Option<F::Output> {
    let (mut future, mut left) = (std::pin::pin!(future), polls);
    std::future::poll_fn(move |cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn records_of_many_calls_share_commits() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    let scopes = [fixture.tenant("acme").await, fixture.tenant("other").await];
    let commits =
        || database.psql("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()");
    let transactions = || database.psql("SELECT pg_current_xact_id()::text").parse::<i64>().unwrap();
    let before = transactions();
    let tasks: Vec<_> = (0..400)
        .map(|i| {
            let store = fixture.store.clone();
            let scope = scopes[i % 2].clone();
            tokio::spawn(async move {
                store
                    .audit()
                    .record(&permit(), event(&scope, Action::FetchCredential), ())
                    .await
                    .unwrap()
                    .into_inner()
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let used = transactions() - before;
    assert!(used < 100, "{used} transactions for 400 records; {} commits", commits());
    for tenant in ["acme", "other"] {
        let records = fixture.records(tenant).await;
        assert_eq!(records.iter().filter(|record| record.action == "FetchCredential").count(), 200);
    }
}

#[tokio::test]
async fn records_of_many_tenants_share_a_commit() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    let scopes: Vec<_> = (0..256).map(|i| scope(&format!("t{i}"), None)).collect();
    let begun = std::time::Instant::now();
    let tasks = scopes.into_iter().map(|scope| {
        let store = fixture.store.clone();
        async move {
            store
                .audit()
                .record(&permit(), event(&scope, Action::FetchCredential), ())
                .await
                .unwrap()
                .into_inner()
        }
    });
    futures::future::join_all(tasks).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let rows = database
        .psql("SELECT count(*) || ' ' || sum(records) FROM credvault.audit_journal WHERE records > 1");
    assert_eq!(rows, "1 256");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_vanishes_without_a_word_is_noticed_and_left_behind() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let database = fixture.postgres.as_ref().unwrap();
    let proxy = RoundTrips::start(database.port);
    let url = database.url.replace(&format!(":{}/", database.port), &format!(":{}/", proxy.port));
    let second = Duration::from_secs(1);
    let settings = StoreSettings {
        acquire_timeout: second,
        statement_timeout: second,
        // The one that falls silent is the one that is used next; another would be opened and would answer.
        max_connections: 1,
        ..StoreSettings::new(url.into())
    };
    let store = open_store(&settings, &fixture.folder, &fixture.clock).await.unwrap();
    let record = || async {
        store.audit().record(&permit(), event(&scope, Action::FetchCredential), ()).await.map(|_| ())
    };
    record().await.unwrap();
    store.ping().await.unwrap();

    proxy.silence();
    let begun = std::time::Instant::now();
    assert!(record().await.is_err());
    let not_ready = async { while store.ping().await.is_ok() {} };
    tokio::time::timeout(10 * second, not_ready).await.expect("ready although the log fails");
    while record().await.is_err() {
        assert!(begun.elapsed() < 20 * second, "the connections that are dead are still used");
    }
    let well = async { while store.ping().await.is_err() {} };
    tokio::time::timeout(60 * second, well).await.unwrap();
    tokio::time::timeout(20 * second, store.close()).await.unwrap();
}

#[tokio::test]
async fn no_secret_leaves_without_its_record() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let settings = StoreSettings { audit_timeout: Duration::from_millis(300), ..fixture.settings.clone() };
    let store = open_store(&settings, &fixture.folder, &fixture.clock).await.unwrap();
    let database = fixture.postgres.clone().unwrap();
    let app = database.url.split("//").nth(1).unwrap().split(':').next().unwrap().to_owned();
    database.psql(&format!("REVOKE INSERT ON credvault.audit_journal FROM {app}"));
    let refused = store.audit().record(&permit(), event(&scope, Action::FetchCredential), "CANARY").await;
    assert!(matches!(refused, Err(credvault_store::Error::AuditUnavailable)), "{refused:?}");
    database.psql(&format!("GRANT INSERT ON credvault.audit_journal TO {app}"));
    store.audit().record(&permit(), event(&scope, Action::FetchCredential), ()).await.unwrap().into_inner();
}

#[tokio::test]
async fn the_last_use_is_remembered_to_the_minute_and_a_held_row_is_not_waited_for() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    let used = async || {
        let event = event(&scope, Action::FetchCredential);
        fixture
            .store
            .audit()
            .record_fetches(&permit(), vec![event], vec![(scope.tenant().clone(), id)], ())
            .await
            .unwrap()
            .into_inner();
        fixture.store.write_last_uses().await.unwrap();
        fixture.store.connections().get(&scope, id).await.unwrap().last_used_time
    };
    let first = used().await.unwrap();
    assert_eq!(first, fixture.clock.now());
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(used().await, Some(first), "within the minute");
    fixture.clock.advance(Duration::from_secs(31));
    assert_eq!(used().await, Some(fixture.clock.now()));

    fixture.clock.advance(Duration::from_secs(61));
    let holder = fixture.admin_connection().await.begin().await.unwrap();
    holder.execute_unprepared("SELECT 1 FROM connections FOR UPDATE").await.unwrap();
    let while_held = tokio::time::timeout(Duration::from_secs(1), used()).await;
    assert!(while_held.is_ok(), "the last use waited for a row that another transaction holds");
    holder.rollback().await.unwrap();
}
