//! When a credential is to be replaced: what the job finds, and what persons are reminded of.

use std::time::Duration;

use credvault_domain::{Action, Clock as _, EventType, Reason, TenantScope};
use credvault_store::{
    ConnectionFilter, ConnectionKey, ConnectionPatch, NewConnection, Page, RotationFailure, RotationPlan,
};

use super::{DAY, connection, failure, revoked_after, rotated, rotating, shown};
use crate::events::{new_endpoint, put};
use crate::fixture::{Fixture, new_connection, write};
use crate::on_both;

on_both![
    what_is_due_is_found_and_follows_the_period,
    a_person_is_reminded_before_it_is_due_and_then,
    what_fails_again_and_again_is_left_to_a_person,
    an_outage_does_not_end_the_attempts,
    claims_whose_processes_are_gone_count_as_keys_in_vain,
    what_the_vault_cannot_replace_for_its_settings_or_others_is_reminded_of,
    a_reminder_is_not_lost_and_waits_while_nothing_is_served,
];

async fn what_is_due_is_found_and_follows_the_period(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (rotations, connections) = (fixture.store.credential_rotations(), fixture.store.connections());
    let plan = |days: u32, mints| RotationPlan { period: DAY * days, mints };
    let new = NewConnection { rotation: Some(plan(30, true)), ..new_connection("a") };
    let create = write(&scope, Action::CreateConnection);
    let id = connections.create(&scope, &new, None, &create).await.unwrap().into_inner().id;
    let key = fixture.store.connection_key(&scope, id);
    assert_eq!(connection(fixture, &scope, &key).await.rotation_due_time, None, "there is no credential");
    fixture.put(&scope, id, "CANARY").await;
    let now = connection(fixture, &scope, &key).await;
    let due = fixture.clock.now().after(DAY * 30);
    assert_eq!((now.rotation_period, now.rotation_due_time), (Some(DAY * 30), Some(due)));
    assert!(shown(fixture, &scope, &key).await.automatic);

    let listed = async |before| {
        let filter = ConnectionFilter { rotation_due_before: Some(before), ..ConnectionFilter::default() };
        let page = Page { size: 10, token: String::new(), query: Vec::new() };
        connections.list(&scope, &filter, &page).await.unwrap().items.len()
    };
    assert_eq!((listed(due).await, listed(due.after(DAY)).await), (0, 1));
    fixture.clock.advance(DAY * 29);
    assert!(rotations.due(10, &[]).await.unwrap().is_empty());
    // Within an hour, so that what is due together is not replaced together.
    fixture.clock.advance(DAY + Duration::from_secs(3600));
    assert_eq!(rotations.due(10, &[]).await.unwrap().len(), 1);
    assert!(rotations.due(10, &[scope.tenant().clone()]).await.unwrap().is_empty());
    assert!(rotations.look(&key).await.unwrap().unwrap().is_due);
    assert!(rotations.look(&key).await.unwrap().is_none(), "another replica has looked");
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, DAY * 60)).await;
    let due = connection(fixture, &scope, &key).await.rotation_due_time;
    assert_eq!(due, Some(fixture.clock.now().after(DAY * 30)));
    assert!(rotations.due(10, &[]).await.unwrap().is_empty());

    let update = async |rotation: Option<RotationPlan>| {
        let patch = ConnectionPatch { rotation: Some(rotation), ..ConnectionPatch::default() };
        let update = write(&scope, Action::UpdateConnection);
        connections.update(&scope, id, None, &patch, &update).await.unwrap().into_inner()
    };
    fixture.clock.advance(DAY * 20);
    let sooner = update(Some(plan(10, true))).await;
    assert!(sooner.rotation_due_time.is_some_and(|due| due > fixture.clock.now()), "late, so at once");
    let never = update(None).await;
    assert_eq!((never.rotation_period, never.rotation_due_time), (None, None));
    fixture.clock.advance(DAY * 20);
    assert!(rotations.due(10, &[]).await.unwrap().is_empty());
}

async fn a_person_is_reminded_before_it_is_due_and_then(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    put(fixture, &scope, &new_endpoint(&[EventType::RotationDue])).await.unwrap();
    let plan = RotationPlan { period: DAY * 30, mints: false };
    let new = NewConnection { rotation: Some(plan), ..new_connection("a") };
    let create = write(&scope, Action::CreateConnection);
    let created = fixture.store.connections().create(&scope, &new, None, &create).await.unwrap();
    let id = created.into_inner().id;
    for _ in 0..2 {
        fixture.put(&scope, id, "CANARY").await;
        for (days, passed) in [(14, 16), (3, 11), (1, 2), (0, 1)] {
            assert_eq!(fixture.store.remind_of_rotations().await.unwrap(), 0);
            fixture.clock.advance(DAY * passed);
            let reminding = (0..4).map(|_| {
                let store = fixture.store.clone();
                tokio::spawn(async move { store.remind_of_rotations().await.unwrap() })
            });
            let sent =
                futures::future::join_all(reminding).await.into_iter().map(Result::unwrap).sum::<u64>();
            assert_eq!(sent, 1, "{days} days before");
        }
        fixture.clock.advance(DAY * 30);
        assert_eq!(fixture.store.remind_of_rotations().await.unwrap(), 0, "it was said");
        // The provider's file may have the call by now; if it has not, that was all.
        let key = fixture.store.connection_key(&scope, id);
        let rotations = fixture.store.credential_rotations();
        assert!(!rotations.look(&key).await.unwrap().unwrap().is_due);
        rotations.looked(&key, false).await.unwrap();
        assert!(rotations.due(10, &[]).await.unwrap().is_empty());
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// A connection with a credential that is to be replaced every 30 days.
async fn periodic(fixture: &Fixture, scope: &TenantScope, account: &str, mints: bool) -> ConnectionKey {
    let plan = RotationPlan { period: DAY * 30, mints };
    let new = NewConnection { rotation: Some(plan), ..new_connection(account) };
    let create = write(scope, Action::CreateConnection);
    let created = fixture.store.connections().create(scope, &new, None, &create).await.unwrap();
    let id = created.into_inner().id;
    fixture.put(scope, id, "CANARY").await;
    fixture.store.connection_key(scope, id)
}

/// A tenant with an endpoint for reminders.
async fn tenant(fixture: &Fixture) -> TenantScope {
    let scope = fixture.tenant("acme").await;
    put(fixture, &scope, &new_endpoint(&[EventType::RotationDue])).await.unwrap();
    scope
}

async fn reminded(fixture: &Fixture) -> u64 {
    fixture.store.remind_of_rotations().await.unwrap()
}

async fn update(fixture: &Fixture, scope: &TenantScope, key: &ConnectionKey, patch: ConnectionPatch) {
    let update = write(scope, Action::UpdateConnection);
    let connections = fixture.store.connections();
    connections.update(scope, key.connection(), None, &patch, &update).await.unwrap().into_inner();
}

async fn what_fails_again_and_again_is_left_to_a_person(fixture: &Fixture) {
    let scope = tenant(fixture).await;
    let rotations = fixture.store.credential_rotations();
    for (account, attempts, in_vain) in [("a", 16, false), ("b", 2, true)] {
        let key = periodic(fixture, &scope, account, true).await;
        fixture.clock.advance(DAY * 30 + HOUR);
        for attempt in 1..=attempts {
            assert!(rotations.look(&key).await.unwrap().unwrap().is_due, "{account} {attempt}");
            assert_eq!(reminded(fixture).await, 0);
            let ours = rotating(&fixture.store, &key).await;
            let failure = RotationFailure { lost: in_vain, in_vain, ..failure(Reason::RotationRefused) };
            rotations.fail(&ours, failure).await.unwrap();
            fixture.clock.advance(HOUR * 2);
        }
        assert!(rotations.look(&key).await.unwrap().is_none(), "{account}: until it is asked");
        let record = shown(fixture, &scope, &key).await;
        assert_eq!((record.automatic, record.retry_time), (false, None));
        assert_eq!(record.left_keys, if in_vain { 2 } else { 0 });
        assert_eq!((reminded(fixture).await, reminded(fixture).await), (1, 0));
        fixture.clock.advance(DAY);
        assert_eq!(reminded(fixture).await, 0, "it was said");

        let found = ConnectionPatch { forget_left_key: true, ..ConnectionPatch::default() };
        update(fixture, &scope, &key, found).await;
        assert_eq!(shown(fixture, &scope, &key).await.left_keys, 0);
        rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, DAY * 300)).await;
        assert!(shown(fixture, &scope, &key).await.automatic);
        let never = ConnectionPatch { rotation: Some(None), ..ConnectionPatch::default() };
        update(fixture, &scope, &key, never).await;
    }
}

async fn an_outage_does_not_end_the_attempts(fixture: &Fixture) {
    let scope = tenant(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let key = periodic(fixture, &scope, "a", true).await;
    fixture.clock.advance(DAY * 30 + HOUR);
    for attempt in 1..=40 {
        assert!(rotations.look(&key).await.unwrap().unwrap().is_due, "{attempt}");
        let ours = rotating(&fixture.store, &key).await;
        let failure = RotationFailure { lasting: false, ..failure(Reason::ProviderUnavailable) };
        rotations.fail(&ours, failure).await.unwrap();
        fixture.clock.advance(HOUR * 2);
    }
    assert!(shown(fixture, &scope, &key).await.automatic);
    assert_eq!(reminded(fixture).await, 0);
}

async fn claims_whose_processes_are_gone_count_as_keys_in_vain(fixture: &Fixture) {
    let scope = tenant(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let key = periodic(fixture, &scope, "a", true).await;
    fixture.clock.advance(DAY * 30 + HOUR);
    for is_automatic in [true, false] {
        drop(rotating(&fixture.store, &key).await);
        fixture.clock.advance(HOUR);
        assert!(!rotations.look(&key).await.unwrap().unwrap().is_due, "another attempt waits");
        assert_eq!(shown(fixture, &scope, &key).await.automatic, is_automatic);
        fixture.clock.advance(HOUR * 2);
    }
    assert_eq!(shown(fixture, &scope, &key).await.left_keys, 2);
}

async fn what_the_vault_cannot_replace_for_its_settings_or_others_is_reminded_of(fixture: &Fixture) {
    let scope = tenant(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let key = periodic(fixture, &scope, "a", true).await;
    fixture.clock.advance(DAY * 20);
    assert_eq!(reminded(fixture).await, 0);
    let mints = |mints| ConnectionPatch { mints: Some(mints), ..ConnectionPatch::default() };
    update(fixture, &scope, &key, mints(false)).await;
    assert!(!shown(fixture, &scope, &key).await.automatic);
    assert_eq!((reminded(fixture).await, reminded(fixture).await), (1, 0));
    update(fixture, &scope, &key, mints(true)).await;
    fixture.clock.advance(DAY * 8);
    assert_eq!(reminded(fixture).await, 0);

    // As an adopted one is stored.
    fixture.execute("UPDATE credential_versions SET store = 'theirs'").await;
    fixture.clock.advance(DAY * 2 + HOUR);
    assert!(!rotations.look(&key).await.unwrap().unwrap().is_due);
    rotations.looked(&key, true).await.unwrap();
    assert!(!shown(fixture, &scope, &key).await.automatic);
    assert!(rotations.due(10, &[]).await.unwrap().is_empty());
    assert_eq!((reminded(fixture).await, reminded(fixture).await), (1, 0));
}

async fn a_reminder_is_not_lost_and_waits_while_nothing_is_served(fixture: &Fixture) {
    let scope = tenant(fixture).await;
    let key = periodic(fixture, &scope, "a", false).await;
    let enabled = |enabled| ConnectionPatch { enabled: Some(enabled), ..ConnectionPatch::default() };
    fixture.clock.advance(DAY * 16);
    update(fixture, &scope, &key, enabled(true)).await;
    assert_eq!(reminded(fixture).await, 1, "its time had come before the change");

    update(fixture, &scope, &key, enabled(false)).await;
    fixture.clock.advance(DAY * 11);
    assert_eq!(reminded(fixture).await, 0, "it is disabled");
    update(fixture, &scope, &key, enabled(true)).await;
    assert_eq!((reminded(fixture).await, reminded(fixture).await), (1, 0));

    let (connections, id) = (fixture.store.connections(), key.connection());
    connections
        .delete(&scope, id, None, &write(&scope, Action::DeleteConnection))
        .await
        .unwrap()
        .into_inner();
    fixture.clock.advance(DAY * 2);
    assert_eq!(reminded(fixture).await, 0, "it is deleted");
    let undelete = write(&scope, Action::UndeleteConnection);
    connections.undelete(&scope, id, None, &undelete).await.unwrap().into_inner();
    assert_eq!((reminded(fixture).await, reminded(fixture).await), (1, 0));
}
