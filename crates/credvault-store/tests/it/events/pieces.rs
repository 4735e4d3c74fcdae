//! Endpoints with many deliveries: work goes in pieces, so that no statement holds many rows.

use std::time::Duration;

use credvault_domain::{Action, Clock as _, DeliveryState, EventType};
use credvault_store::{Attempt, Error, NewEventEndpoint};
use uuid::Uuid;

use super::{DAY, HOUR, attempted, claim, deliveries, endpoint, new_endpoint, page, put};
use crate::fixture::{Fixture, repeatable, soon, write};
use crate::on_both;

on_both![
    an_endpoint_with_many_deliveries_is_deleted_in_pieces_and_is_hidden_meanwhile,
    many_deliveries_of_an_endpoint_that_is_gone_are_given_up_in_pieces,
    many_expired_deliveries_are_given_up_in_pieces,
    many_deliveries_of_a_broken_endpoint_wait_with_one_alarm,
];

async fn an_endpoint_with_many_deliveries_is_deleted_in_pieces_and_is_hidden_meanwhile(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, id, "CANARY").await;
    let event = deliveries(fixture, &acme).await[0].event;
    fixture.multiply_delivery(at, 700).await;
    fixture.only_pieces_of(&["event_deliveries", "event_endpoints"]).await;
    let endpoints = fixture.store.event_endpoints();
    let sent = fixture.store.event_deliveries();
    let delete = repeatable(&acme, Action::DeleteEventEndpoint, Uuid::from_u128(1), "e");
    // As if it had been killed at once.
    endpoints.delete(&acme, at, &delete, std::time::Instant::now()).await.unwrap().into_inner();
    assert_eq!(fixture.count("event_deliveries").await, 701);
    assert_eq!(fixture.count("endpoint_deletions").await, 1);
    assert!(endpoints.list(&acme, &page()).await.unwrap().items.is_empty());
    assert!(deliveries(fixture, &acme).await.is_empty());
    assert!(claim(fixture).await.is_empty());
    assert!(matches!(endpoints.target(&acme, at).await, Err(Error::EventEndpointNotFound)));
    let change = NewEventEndpoint { id: Some(at), ..new_endpoint(&[]) };
    assert!(matches!(put(fixture, &acme, &change).await, Err(Error::EventEndpointNotFound)));
    let other = endpoints.delete(&acme, at, &write(&acme, Action::DeleteEventEndpoint), soon()).await;
    assert!(matches!(other, Err(Error::EventEndpointNotFound)), "{other:?}");
    let again = write(&acme, Action::RetryEventDelivery);
    assert!(matches!(sent.retry(&acme, at, event, &again).await, Err(Error::EventDeliveryNotFound)));
    fixture.put(&acme, id, "CANARY").await;
    assert_eq!(fixture.count("event_deliveries").await, 701, "nothing more is written for it");
    for _ in 0..16 {
        endpoint(fixture, &acme, &[EventType::Recovered]).await;
    }
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("event_deliveries").await, 0);
    assert_eq!(fixture.count("endpoint_deletions").await, 0);
    assert_eq!(fixture.count("event_endpoints").await, 16);
    // The first request once more; and a call that has the time for all of it.
    endpoints.delete(&acme, at, &delete, soon()).await.unwrap().into_inner();
    let one = endpoints.list(&acme, &page()).await.unwrap().items.remove(0).id;
    put(fixture, &acme, &NewEventEndpoint { id: Some(one), ..new_endpoint(&[]) }).await.unwrap();
    fixture.put(&acme, id, "CANARY").await;
    fixture.multiply_delivery(one, 300).await;
    endpoints
        .delete(&acme, one, &write(&acme, Action::DeleteEventEndpoint), soon())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(fixture.count("event_deliveries").await, 0);
    assert_eq!(fixture.count("event_endpoints").await, 15);
}

async fn many_deliveries_of_an_endpoint_that_is_gone_are_given_up_in_pieces(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, id, "CANARY").await;
    fixture.multiply_delivery(at, 700).await;
    fixture.only_pieces_of(&["event_deliveries"]).await;
    let events = claim(fixture).await.remove(0).2;
    let gone = Attempt::Failed { failure: "status 410".into(), retry_after: None, gone: true };
    assert_eq!(attempted(fixture, &events[0], &gone).await, DeliveryState::Dead);
    assert!(claim(fixture).await.is_empty());
    let dead =
        "SELECT CAST(count(*) AS TEXT) AS v FROM event_deliveries WHERE state = 'DEAD' AND due_time IS NULL";
    assert_eq!(fixture.text(dead).await, "701");
}

async fn many_expired_deliveries_are_given_up_in_pieces(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, id, "CANARY").await;
    fixture.multiply_delivery(at, 700).await;
    fixture.only_pieces_of(&["event_deliveries"]).await;
    fixture.clock.advance(28 * HOUR);
    fixture.store.upkeep().await.unwrap();
    let dead =
        "SELECT CAST(count(*) AS TEXT) AS v FROM event_deliveries WHERE state = 'DEAD' AND due_time IS NULL";
    assert_eq!(fixture.text(dead).await, "701");
    fixture.clock.advance(31 * DAY);
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("event_deliveries").await, 0);
}

async fn many_deliveries_of_a_broken_endpoint_wait_with_one_alarm(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, id, "CANARY").await;
    fixture.multiply_delivery(at, 700).await;
    fixture.only_pieces_of(&["event_deliveries"]).await;
    fixture.execute("UPDATE event_endpoints SET generation = generation + 1").await;
    let sent = fixture.store.event_deliveries();
    let key = sent.due(None).await.unwrap().keys.remove(0);
    assert!(matches!(sent.claim(&key).await, Err(Error::Integrity)));
    assert!(sent.due(None).await.unwrap().keys.is_empty());
    // What a process that was killed half-way left, or what was written since, rests as well.
    let now = fixture.clock.now().micros();
    let some = format!(
        "UPDATE event_deliveries SET due_time = {now} WHERE event_id IN (SELECT event_id FROM event_deliveries LIMIT 150)"
    );
    fixture.execute(&some).await;
    assert!(sent.claim(&key).await.unwrap().is_none());
    assert!(sent.due(None).await.unwrap().keys.is_empty());
    let records = "SELECT CAST(count(*) AS TEXT) AS v FROM audit_events WHERE reason = 'INTEGRITY_FAILURE'";
    assert_eq!(fixture.text(records).await, "1");
    fixture.clock.advance(HOUR + Duration::from_secs(1));
    assert_eq!(sent.due(None).await.unwrap().keys.len(), 1);
}
