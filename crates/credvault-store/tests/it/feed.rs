//! The change feed: complete, in order, and safe against slow transactions.

use std::time::Duration;

use credvault_domain::{Action, AppPlace, ProviderId, TenantState};
use credvault_store::{ChangeKind, ChangeSubject, FeedPosition, NewApp};
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};

use crate::events::{new_endpoint, put};
use crate::fixture::{Fixture, credential, write};
use crate::on_both;
use crate::refreshes::{claimed, record, refreshable, refreshed};

on_both![
    everything_that_a_fetch_depends_on_is_in_the_feed,
    pages_go_on_where_the_one_before_ended,
    a_position_that_is_too_old_says_so,
    a_reader_that_has_not_had_all_rows_grows_old,
    a_position_of_another_database_says_so,
    a_moved_etag_has_a_moved_update_time,
];

/// Reads the feed from a position on until it has `count` rows: a transaction in progress of another test on the same server
/// holds them back for a moment.
async fn read(
    fixture: &Fixture,
    scope: &credvault_domain::TenantScope,
    from: FeedPosition,
    count: usize,
) -> (Vec<(ChangeSubject, ChangeKind)>, FeedPosition) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let page = fixture.store.feed().after(scope, from, 100).await.unwrap();
        let page = page.expect("a position of this database");
        if page.rows.len() >= count {
            let rows = page.rows.into_iter().map(|row| (row.subject, row.kind));
            return (rows.collect(), page.position);
        }
        assert!(std::time::Instant::now() < deadline, "{:?}", page.rows);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The end of the feed, once no transaction of another test on the same server holds back what was committed before.
async fn end(fixture: &Fixture, scope: &credvault_domain::TenantScope) -> FeedPosition {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let position = fixture.store.feed().end(scope).await.unwrap();
        let page = fixture.store.feed().after(scope, position, 1).await.unwrap().expect("of this database");
        if page.is_complete && page.rows.is_empty() {
            return position;
        }
        assert!(std::time::Instant::now() < deadline, "{page:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn everything_that_a_fetch_depends_on_is_in_the_feed(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let start = end(fixture, &scope).await;

    let endpoint = put(fixture, &scope, &new_endpoint(&[])).await.unwrap().0;
    let provider = ProviderId::parse("generic").unwrap();
    let app = NewApp {
        place: AppPlace::new(provider.clone(), None),
        client_id: "id".to_owned(),
        client_secret: Some("CANARY".to_owned().into()),
        keep_previous: false,
        redirect_uri: "https://app.test/back".to_owned(),
        scopes: Vec::new(),
        settings: Default::default(),
        secrets: Default::default(),
    };
    let store = &fixture.store;
    store.apps().put(&scope, &app, &write(&scope, Action::PutOAuthApp)).await.unwrap().into_inner();
    store.apps().put(&scope, &app, &write(&scope, Action::PutOAuthApp)).await.unwrap().into_inner();
    store
        .apps()
        .delete(&scope, &AppPlace::new(provider.clone(), None), &write(&scope, Action::DeleteOAuthApp))
        .await
        .unwrap()
        .into_inner();
    let suspend = write(&scope, Action::SuspendTenant);
    store.tenants().set_state(&scope, TenantState::Suspended, &suspend).await.unwrap().into_inner();
    let resume = write(&scope, Action::ResumeTenant);
    store.tenants().set_state(&scope, TenantState::Active, &resume).await.unwrap().into_inner();
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let ours = claimed(store, &key, seen).await;
    store.refreshes().store(&ours, &refreshed(&ours, "CANARY"), &record(&key)).await.unwrap();

    let (rows, end) = read(fixture, &scope, start, 9).await;
    let connection = ChangeSubject::Connection(key.connection());
    let expected = [
        (ChangeSubject::EventEndpoint(endpoint), ChangeKind::Created),
        (ChangeSubject::App(provider.clone()), ChangeKind::Created),
        (ChangeSubject::App(provider.clone()), ChangeKind::Updated),
        (ChangeSubject::App(provider), ChangeKind::Deleted),
        (ChangeSubject::Tenant, ChangeKind::Suspended),
        (ChangeSubject::Tenant, ChangeKind::Resumed),
        (connection.clone(), ChangeKind::Created),
        (connection.clone(), ChangeKind::CredentialStored),
        (connection, ChangeKind::Refreshed),
    ];
    assert_eq!(rows, expected);
    assert_eq!(read(fixture, &scope, end, 0).await.0, []);
}

async fn pages_go_on_where_the_one_before_ended(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let mut position = end(fixture, &scope).await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    read(fixture, &scope, position, 2).await;
    let mut kinds = Vec::new();
    loop {
        let page = fixture.store.feed().after(&scope, position, 1).await.unwrap().unwrap();
        assert!(page.rows.len() <= 1);
        position = page.position;
        match page.rows.first() {
            Some(row) => kinds.push((row.kind, row.version)),
            None => break,
        }
    }
    assert_eq!(kinds, [(ChangeKind::Created, None), (ChangeKind::CredentialStored, Some(1))]);
}

async fn a_position_that_is_too_old_says_so(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let position = end(fixture, &scope).await;
    fixture.clock.advance(Duration::from_secs(6 * 24 * 3600));
    assert!(fixture.store.feed().after(&scope, position, 1).await.unwrap().is_some());
    fixture.clock.advance(Duration::from_secs(2 * 24 * 3600));
    assert_eq!(fixture.store.feed().after(&scope, position, 1).await.unwrap(), None);
}

/// What a reader has not had yet is forgotten some day, however lately it asked.
async fn a_reader_that_has_not_had_all_rows_grows_old(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let position = end(fixture, &scope).await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    read(fixture, &scope, position, 2).await;
    let feed = fixture.store.feed();
    fixture.clock.advance(Duration::from_secs(5 * 24 * 3600));
    let half = feed.after(&scope, position, 1).await.unwrap().unwrap();
    assert!(!half.is_complete);
    let (_, whole) = read(fixture, &scope, position, 2).await;
    fixture.clock.advance(Duration::from_secs(2 * 24 * 3600));
    assert_eq!(feed.after(&scope, half.position, 1).await.unwrap(), None);
    assert!(feed.after(&scope, whole, 1).await.unwrap().unwrap().is_complete);
}

async fn a_position_of_another_database_says_so(fixture: &Fixture) {
    let other = if fixture.postgres.is_some() { Fixture::postgres().await } else { Fixture::sqlite().await };
    let (scope, foreign) = (fixture.tenant("acme").await, other.tenant("acme").await);
    let position = other.store.feed().end(&foreign).await.unwrap();
    assert_eq!(fixture.store.feed().after(&scope, position, 1).await.unwrap(), None);
}

async fn a_moved_etag_has_a_moved_update_time(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let before = fixture.store.connections().get(&scope, key.connection()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(60));
    let ours = claimed(&fixture.store, &key, seen).await;
    let granted = vec!["more".to_owned()];
    let refreshed =
        credvault_store::RefreshedTokens { scopes: Some(granted.clone()), ..refreshed(&ours, "CANARY") };
    fixture.store.refreshes().store(&ours, &refreshed, &record(&key)).await.unwrap();
    let after = fixture.store.connections().get(&scope, key.connection()).await.unwrap();
    assert_eq!(after.scopes_granted, granted);
    assert_eq!(after.revision, before.revision + 1);
    assert!(after.update_time > before.update_time);
}

/// The slow change has its place in the feed before the fast one, and commits after it: a reader that asks in between must
/// not go past it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_does_not_lose_a_transaction_that_commits_late() {
    // The slow change waits for as long as this test takes.
    let fixture = Fixture::postgres_with(|settings| {
        settings.lock_timeout = Duration::from_secs(60);
        settings.statement_timeout = Duration::from_secs(60);
    })
    .await;
    let scope = fixture.tenant("acme").await;
    put(&fixture, &scope, &new_endpoint(&[])).await.unwrap();
    let slow = fixture.connection(&scope, "slow").await.id;
    let start = end(&fixture, &scope).await;

    // A change with an event waits for this lock; one without does not.
    let admin = fixture.admin_connection().await;
    let lock = admin.begin().await.unwrap();
    lock.execute_unprepared("SELECT id FROM event_endpoints FOR UPDATE").await.unwrap();
    let slowly = {
        let store = fixture.store.clone();
        let scope = scope.clone();
        let write = write(&scope, Action::PutCredential);
        tokio::spawn(async move {
            store.credentials().put(&scope, slow, &credential("CANARY"), None, &write).await.map(|_| ())
        })
    };
    fixture.waits_for_locks(1).await;
    let fast = fixture.connection(&scope, "fast").await.id;
    let (before, position) = read(&fixture, &scope, start, 0).await;
    assert_eq!(before, [], "the slow transaction may still come before the fast one");

    lock.rollback().await.unwrap();
    slowly.await.unwrap().unwrap();
    let (after, _) = read(&fixture, &scope, position, 2).await;
    assert_eq!(
        after,
        [
            (ChangeSubject::Connection(slow), ChangeKind::CredentialStored),
            (ChangeSubject::Connection(fast), ChangeKind::Created),
        ]
    );
}

/// The guard that all other tests run under works itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_its_row_in_the_feed_is_refused() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    fixture.connection(&scope, "a").await;
    let postgres = fixture.postgres.as_ref().unwrap();
    let change = |set: &str| {
        format!(
            "SET search_path = credvault; BEGIN; SELECT set_config('credvault.tenant', 'acme', true);
             UPDATE connections SET {set}; COMMIT;"
        )
    };
    let refused = postgres.psql_as_service(&change("enabled = false, revision = revision + 1")).unwrap_err();
    assert!(refused.contains("a row of connections was changed without a row in the feed"), "{refused}");
    postgres.psql_as_service(&change("last_used_time = 1")).unwrap();
}
