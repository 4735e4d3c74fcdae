//! Endpoints and their lists: secrets, limits, users that are deleted, pages, retention.

use std::time::Duration;

use credvault_domain::{
    Action, DeliveryState, EventEndpointId, EventId, EventType, Owner, TenantId, TenantScope, UserId,
};
use credvault_store::{Attempt, Error, NewEventEndpoint, Page};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use super::{DAY, HOUR, attempted, claim, deliveries, endpoint, new_endpoint, page, put};
use crate::fixture::{Fixture, credential, new_connection, repeatable, scope, soon, write};
use crate::on_both;

on_both![
    the_secret_before_signs_for_a_day_more,
    there_are_at_most_sixteen_and_foreign_ones_do_not_exist,
    what_was_sent_about_a_user_goes_with_the_user,
    pages_show_every_delivery_once_the_newest_first,
    what_was_settled_is_forgotten_and_a_suspended_tenants_waits,
];

async fn the_secret_before_signs_for_a_day_more(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let (at, first) = put(fixture, &acme, &new_endpoint(&[])).await.unwrap();
    let rotate = NewEventEndpoint { id: Some(at), rotate_secret: true, ..new_endpoint(&[]) };
    let live = async || {
        let target = fixture.store.event_endpoints().target(&acme, at).await.unwrap();
        target.secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect::<Vec<_>>()
    };
    let first = first.unwrap();
    assert!(first.starts_with("whsec_"));
    assert_eq!(first.len(), 50);
    assert_eq!(live().await, [first.as_str()]);
    let second = put(fixture, &acme, &rotate).await.unwrap().1.unwrap();
    assert_eq!(live().await, [second.as_str(), first.as_str()]);
    fixture.clock.advance(DAY);
    assert_eq!(live().await, [second.as_str()]);
    // A repetition of the very request gets the same answer, for the first may have been lost.
    let repeat = repeatable(&acme, Action::PutEventEndpoint, Uuid::from_u128(7), "rotate");
    let endpoints = fixture.store.event_endpoints();
    let (_, once) = endpoints.put(&acme, &rotate, &repeat).await.unwrap().into_inner();
    let (_, twice) = endpoints.put(&acme, &rotate, &repeat).await.unwrap().into_inner();
    assert_eq!(once.unwrap().expose_secret(), twice.unwrap().expose_secret());
    let new = repeatable(&acme, Action::PutEventEndpoint, Uuid::from_u128(8), "new");
    let (one, _) = endpoints.put(&acme, &new_endpoint(&[]), &new).await.unwrap().into_inner();
    let (same, secret) = endpoints.put(&acme, &new_endpoint(&[]), &new).await.unwrap().into_inner();
    assert_eq!(one.id, same.id);
    assert!(secret.is_some());
}

async fn there_are_at_most_sixteen_and_foreign_ones_do_not_exist(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = fixture.tenant("other").await;
    let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, id, "CANARY").await;
    let event = deliveries(fixture, &acme).await[0].event;
    let endpoints = fixture.store.event_endpoints();
    let sent = fixture.store.event_deliveries();
    let unknown = (EventEndpointId::from_uuid(Uuid::from_u128(1)), EventId::from_uuid(Uuid::from_u128(2)));
    for scope in [&other, &scope(TenantId::PLATFORM, None)] {
        for (at, event) in [(at, event), unknown] {
            let change = NewEventEndpoint { id: Some(at), ..new_endpoint(&[]) };
            assert!(matches!(put(fixture, scope, &change).await, Err(Error::EventEndpointNotFound)));
            assert!(matches!(endpoints.target(scope, at).await, Err(Error::EventEndpointNotFound)));
            assert!(matches!(
                endpoints.delete(scope, at, &write(scope, Action::DeleteEventEndpoint), soon()).await,
                Err(Error::EventEndpointNotFound)
            ));
            assert!(matches!(
                sent.retry(scope, at, event, &write(scope, Action::RetryEventDelivery)).await,
                Err(Error::EventDeliveryNotFound)
            ));
            assert!(sent.list(scope, Some(at), None, &page()).await.unwrap().items.is_empty());
        }
    }
    for _ in 1..16 {
        endpoint(fixture, &acme, &[]).await;
    }
    assert!(matches!(put(fixture, &acme, &new_endpoint(&[])).await, Err(Error::TooManyEventEndpoints)));
    endpoints
        .delete(&acme, at, &write(&acme, Action::DeleteEventEndpoint), soon())
        .await
        .unwrap()
        .into_inner();
    assert!(
        sent.list(&acme, Some(at), None, &page()).await.unwrap().items.is_empty(),
        "it took its deliveries along"
    );
    endpoint(fixture, &acme, &[]).await;
}

async fn what_was_sent_about_a_user_goes_with_the_user(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = fixture.tenant("other").await;
    let platform = scope(TenantId::PLATFORM, None);
    for scope in [&acme, &platform] {
        endpoint(fixture, scope, &[EventType::CredentialChanged, EventType::Disconnected]).await;
    }
    let gone = UserId::parse("u1").unwrap();
    let mut ids = Vec::new();
    for (tenant, user) in [(&acme, "u1"), (&acme, "u2"), (&other, "u1")] {
        let scope = scope(tenant.tenant().as_str(), Some(user));
        let new = credvault_store::NewConnection {
            owner: Owner::User(UserId::parse(user).unwrap()),
            ..new_connection("main")
        };
        let create = write(&scope, Action::CreateConnection);
        let connections = fixture.store.connections();
        let created = connections.create(&scope, &new, Some(&credential("CANARY")), &create).await.unwrap();
        ids.push(created.into_inner().id);
    }
    for (_, _, events) in claim(fixture).await {
        for event in events {
            attempted(fixture, &event, &Attempt::Delivered).await;
        }
    }
    // All of these were delivered; the next one waits.
    fixture.put(&scope("acme", Some("u1")), ids[0], "CANARY").await;
    let about = async |scope: &TenantScope| {
        let all = deliveries(fixture, scope).await;
        let theirs =
            all.into_iter().filter(|one| one.body.contains(r#""user_id":"u1""#) && one.body.contains("acme"));
        theirs.map(|one| (one.kind, one.state)).collect::<Vec<_>>()
    };
    let delete = write(&acme, Action::DeleteUser);
    let deleted = fixture.store.users().delete(&acme, &gone, None, &delete, soon()).await.unwrap();
    assert_eq!(deleted.into_inner().connections, 1);
    for scope in [&acme, &platform] {
        let pending = DeliveryState::Pending;
        let left =
            [("connection.disconnected".to_owned(), pending), ("credential.changed".to_owned(), pending)];
        assert_eq!(about(scope).await, left, "only what is still to be sent");
    }
    for (_, _, events) in claim(fixture).await {
        assert_eq!(events.len(), 2);
        attempted(fixture, &events[0], &Attempt::Delivered).await;
        let no = Attempt::Failed { failure: "status 410".into(), retry_after: None, gone: true };
        attempted(fixture, &events[1], &no).await;
    }
    fixture.clock.advance(Duration::from_secs(1));
    fixture.store.upkeep().await.unwrap();
    assert_eq!(about(&acme).await, Vec::new());
    assert_eq!(about(&platform).await, Vec::new());
    assert_eq!(deliveries(fixture, &acme).await.len(), 1, "others' stay");
    assert_eq!(deliveries(fixture, &platform).await.len(), 2, "others' stay");
}

async fn pages_show_every_delivery_once_the_newest_first(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let one = endpoint(fixture, &acme, &[]).await;
    let _ = endpoint(fixture, &acme, &[]).await;
    let id = fixture.connection(&acme, "a").await.id;
    for _ in 0..4 {
        fixture.put(&acme, id, "CANARY").await;
    }
    let all: Vec<_> =
        deliveries(fixture, &acme).await.into_iter().map(|one| (one.event, one.endpoint)).collect();
    assert_eq!(all.len(), 10, "{all:?}");
    assert!(all.is_sorted_by(|one, next| one > next), "{all:?}");
    let mut token = String::new();
    let mut paged = Vec::new();
    loop {
        let page = Page { size: 3, token, query: Vec::new() };
        let listed = fixture.store.event_deliveries().list(&acme, None, None, &page).await.unwrap();
        paged.extend(listed.items.into_iter().map(|one| (one.event, one.endpoint)));
        token = listed.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, all);
    let of_one = fixture.store.event_deliveries().list(&acme, Some(one), None, &page()).await.unwrap().items;
    assert_eq!(of_one.len(), 5);
    assert!(of_one.iter().all(|delivery| delivery.endpoint == one));
}

async fn what_was_settled_is_forgotten_and_a_suspended_tenants_waits(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, id, "CANARY").await;
    fixture.put(&acme, id, "CANARY").await;
    let state = async |state| {
        let action = write(&acme, Action::SuspendTenant);
        fixture.store.tenants().set_state(&acme, state, &action).await.unwrap().into_inner()
    };
    state(credvault_domain::TenantState::Suspended).await;
    fixture.clock.advance(2 * DAY);
    fixture.store.upkeep().await.unwrap();
    assert!(claim(fixture).await.is_empty());
    // However much waits, resuming costs the same.
    fixture.only_pieces_of(&["event_deliveries"]).await;
    state(credvault_domain::TenantState::Active).await;
    fixture.clock.advance(28 * HOUR - Duration::from_secs(1));
    fixture.store.upkeep().await.unwrap();
    let events = claim(fixture).await.remove(0).2;
    attempted(fixture, &events[0], &Attempt::Delivered).await;
    let gone = Attempt::Failed { failure: "status 410".into(), retry_after: None, gone: true };
    attempted(fixture, &events[1], &gone).await;
    for (pause, left) in [(7 * DAY, 2), (HOUR, 1), (22 * DAY, 1), (DAY, 0)] {
        fixture.clock.advance(pause);
        fixture.store.upkeep().await.unwrap();
        assert_eq!(deliveries(fixture, &acme).await.len(), left, "{pause:?}");
    }
}
