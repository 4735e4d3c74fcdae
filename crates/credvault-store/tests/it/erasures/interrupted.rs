//! Erasures that are cut off: nothing is served meanwhile, and upkeep finishes them, on any replica.

use std::time::Instant;

use credvault_store::{Erasure, ErasureState, Error, Recorded};

use super::{asked, erase, erased, nothing_is_left, tenant_with_rows};
use crate::fixture::{Fixture, open_store};
use crate::on_both;

on_both![an_erasure_that_was_cut_off_is_finished_and_nothing_is_served_meanwhile];

/// An erasure whose call has no time to remove a row.
async fn cut_off(fixture: &Fixture, scope: &credvault_domain::TenantScope) -> Erasure {
    let token = asked(fixture, scope).await;
    let erasures = fixture.store.erasures();
    let confirmed = erasures.confirm(scope, &token, &erase(scope), Instant::now()).await;
    confirmed.map(Recorded::into_inner).unwrap()
}

async fn an_erasure_that_was_cut_off_is_finished_and_nothing_is_served_meanwhile(fixture: &Fixture) {
    let (acme, connection) = tenant_with_rows(fixture, "acme").await;
    fixture.multiply(connection, 500).await;
    let erasure = cut_off(fixture, &acme).await;
    assert_eq!((erasure.state, &erasure.statement), (ErasureState::Erasing, &None));
    assert_eq!(erasure.content.connections, 503);
    assert_eq!(fixture.count("connections WHERE tenant_id = 'acme'").await, 503);
    assert!(matches!(fixture.fetch(&acme, connection).await, Err(Error::TenantNotFound(_))));
    let listed = fixture.store.connections().get(&acme, connection).await;
    assert!(matches!(listed, Err(Error::TenantNotFound(_))), "{listed:?}");
    // Another process, after this one was killed.
    let other = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    other.upkeep().await.unwrap();
    let finished = other.erasures().get(&acme).await.unwrap();
    assert_eq!(finished.state, ErasureState::Erased);
    assert!(finished.statement.is_some() && finished.finish_time.is_some());
    assert_eq!(finished.content, erasure.content);
    nothing_is_left(fixture, "acme").await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_replicas_finish_one_erasure() {
    let fixture = &Fixture::postgres().await;
    let (acme, connection) = tenant_with_rows(fixture, "acme").await;
    fixture.multiply(connection, 900).await;
    cut_off(fixture, &acme).await;
    let other = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    let (one, two) = tokio::join!(fixture.store.upkeep(), other.upkeep());
    one.and(two).unwrap();
    // What one has met of the other is done the next time.
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.store.erasures().get(&acme).await.unwrap().state, ErasureState::Erased);
    nothing_is_left(fixture, "acme").await;
    let by_the_vault = "audit_events WHERE action = 'EraseTenant' AND service <> 'spiffe://test/service'";
    assert_eq!(fixture.count(by_the_vault).await, 1, "finished once");
    let (again, _) = tenant_with_rows(fixture, "again").await;
    assert_eq!(erased(fixture, &again).await.state, ErasureState::Erased);
    other.close().await;
}
