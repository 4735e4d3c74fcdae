//! When a credential is to be replaced: what the job finds, and what persons are reminded of.

use std::time::Duration;

use credvault_domain::{Action, Clock as _, EventType};
use credvault_store::{ConnectionFilter, ConnectionPatch, NewConnection, Page, RotationPlan};

use super::{DAY, connection, revoked_after, rotated, shown};
use crate::events::{new_endpoint, put};
use crate::fixture::{Fixture, new_connection, write};
use crate::on_both;

on_both![what_is_due_is_found_and_follows_the_period, a_person_is_reminded_before_it_is_due_and_then];

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
        assert!(fixture.store.credential_rotations().due(10, &[]).await.unwrap().is_empty());
    }
}
