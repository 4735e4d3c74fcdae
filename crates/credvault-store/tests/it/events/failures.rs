//! Endpoints that fail: retries, dead letters, disabled endpoints.

use std::collections::BTreeSet;
use std::time::Duration;

use credvault_domain::{Action, Clock as _, DeliveryState, EventType};
use credvault_store::{Attempt, Error, NewEventEndpoint};

use super::{HOUR, attempted, claim, deliveries, endpoint, failed, health, new_endpoint, only, page, put};
use crate::fixture::{Fixture, write};
use crate::on_both;

on_both![
    after_a_day_of_failures_it_is_dead_and_can_be_sent_again,
    what_waits_behind_a_failing_endpoint_is_dead_after_a_day_too,
    an_endpoint_that_asks_for_patience_gets_it,
    an_endpoint_that_is_gone_is_disabled_until_it_is_stored_again,
    what_the_url_before_answers_late_does_not_count,
    what_comes_when_too_many_wait_is_dead_at_once_and_on_the_list,
];

async fn after_a_day_of_failures_it_is_dead_and_can_be_sent_again(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, id, "CANARY").await;
    let begun = fixture.clock.now();
    let mut attempts = 0;
    let mut events = BTreeSet::new();
    loop {
        let event = only(fixture).await;
        attempts += 1;
        events.insert((event.event, event.body.clone()));
        let state = attempted(fixture, &event, &failed()).await;
        let stored = deliveries(fixture, &acme).await.remove(0);
        let Some(due) = stored.due_time else {
            assert_eq!(state, DeliveryState::Dead);
            break;
        };
        assert_eq!(state, DeliveryState::Pending);
        assert_eq!(stored.failure.as_deref(), Some("status 500"));
        fixture.clock.advance(fixture.clock.now().until(due));
    }
    let took = begun.until(fixture.clock.now());
    assert_eq!(attempts, 9, "{attempts} in {took:?}");
    assert!(took > 18 * HOUR, "{attempts} in {took:?}");
    assert!(took < 30 * HOUR, "{attempts} in {took:?}");
    assert_eq!(events.len(), 1, "the same id and body every time");
    let endpoint = health(fixture, &acme).await;
    assert_eq!(endpoint.failures, 9);
    assert_eq!(endpoint.failure.as_deref(), Some("status 500"));
    assert_eq!(endpoint.success_time, None);

    let dead = fixture
        .store
        .event_deliveries()
        .list(&acme, Some(at), Some(DeliveryState::Dead), &page())
        .await
        .unwrap();
    let again = write(&acme, Action::RetryEventDelivery);
    fixture
        .store
        .event_deliveries()
        .retry(&acme, at, dead.items[0].event, &again)
        .await
        .unwrap()
        .into_inner();
    let event = only(fixture).await;
    assert_eq!(event.event, dead.items[0].event);
    assert_eq!(event.attempt, 1);
    assert_eq!(attempted(fixture, &event, &Attempt::Delivered).await, DeliveryState::Delivered);
    assert_eq!(health(fixture, &acme).await.failures, 0);
}

async fn what_waits_behind_a_failing_endpoint_is_dead_after_a_day_too(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    for _ in 0..3 {
        fixture.put(&acme, id, "CANARY").await;
    }
    let tried = claim(fixture).await.remove(0).2;
    attempted(fixture, &tried[0], &failed()).await;
    fixture.put(&acme, id, "CANARY").await;
    fixture.clock.advance(28 * HOUR - Duration::from_secs(1));
    fixture.store.upkeep().await.unwrap();
    assert!(deliveries(fixture, &acme).await.iter().all(|one| one.state == DeliveryState::Pending));
    fixture.clock.advance(Duration::from_secs(1));
    assert!(claim(fixture).await.is_empty(), "also before anybody buries it");
    fixture.store.upkeep().await.unwrap();
    let dead = deliveries(fixture, &acme).await;
    assert!(dead.iter().all(|one| one.state == DeliveryState::Dead && one.due_time.is_none()), "{dead:?}");
    let why: BTreeSet<_> = dead.iter().map(|one| one.failure.as_deref().unwrap()).collect();
    assert_eq!(why, ["status 500", "the endpoint failed for other events until this one expired"].into());
    // Its time starts again when the operator retries it.
    let again = write(&acme, Action::RetryEventDelivery);
    fixture.store.event_deliveries().retry(&acme, at, dead[0].event, &again).await.unwrap().into_inner();
    fixture.clock.advance(27 * HOUR);
    fixture.store.upkeep().await.unwrap();
    assert_eq!(only(fixture).await.event, dead[0].event);
}

async fn an_endpoint_that_asks_for_patience_gets_it(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, id, "CANARY").await;
    let patience = Duration::from_secs(600);
    let busy = Attempt::Failed { failure: "status 429".into(), retry_after: Some(patience), gone: false };
    attempted(fixture, &only(fixture).await, &busy).await;
    fixture.clock.advance(patience - Duration::from_secs(1));
    assert!(claim(fixture).await.is_empty());
    fixture.clock.advance(Duration::from_secs(1));
    only(fixture).await;
}

async fn an_endpoint_that_is_gone_is_disabled_until_it_is_stored_again(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    for _ in 0..3 {
        fixture.put(&acme, id, "CANARY").await;
    }
    let events = claim(fixture).await.remove(0).2;
    let gone = Attempt::Failed { failure: "status 410".into(), retry_after: None, gone: true };
    assert_eq!(attempted(fixture, &events[0], &gone).await, DeliveryState::Dead);
    let all = deliveries(fixture, &acme).await;
    assert!(all.iter().all(|one| one.state == DeliveryState::Dead), "{all:?}");
    assert!(!health(fixture, &acme).await.enabled);
    // On record as the vault's own work, once: the next answer disables nothing any more.
    assert_eq!(attempted(fixture, &events[1], &gone).await, DeliveryState::Dead);
    let records = format!(
        "SELECT CAST(count(*) AS TEXT) AS v FROM audit_events WHERE service = 'vault'
         AND action = 'PutEventEndpoint' AND CAST(changed AS TEXT) LIKE '%event_endpoints/{at}%enabled%'"
    );
    assert_eq!(fixture.text(&records).await, "1");
    fixture.put(&acme, id, "CANARY").await;
    assert_eq!(deliveries(fixture, &acme).await.len(), 3, "nothing more is written for it");
    let again = write(&acme, Action::RetryEventDelivery);
    let refused = fixture.store.event_deliveries().retry(&acme, at, events[0].event, &again).await;
    assert!(matches!(refused, Err(Error::State(_))), "{refused:?}");
    let (same, secret) =
        put(fixture, &acme, &NewEventEndpoint { id: Some(at), ..new_endpoint(&[]) }).await.unwrap();
    assert_eq!(same, at);
    assert_eq!(secret, None);
    assert!(health(fixture, &acme).await.enabled);
    fixture.store.event_deliveries().retry(&acme, at, events[0].event, &again).await.unwrap().into_inner();
}

async fn what_the_url_before_answers_late_does_not_count(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    for _ in 0..6 {
        fixture.put(&acme, id, "CANARY").await;
    }
    let events = claim(fixture).await.remove(0).2;
    fixture.clock.advance(Duration::from_secs(1));
    let change = NewEventEndpoint { id: Some(at), url: "https://new.test/".to_owned(), ..new_endpoint(&[]) };
    put(fixture, &acme, &change).await.unwrap();
    let gone = Attempt::Failed { failure: "status 410".into(), retry_after: None, gone: true };
    assert_eq!(
        attempted(fixture, &events[0], &gone).await,
        DeliveryState::Pending,
        "the new URL may take it"
    );
    assert_eq!(attempted(fixture, &events[1], &failed()).await, DeliveryState::Pending);
    assert_eq!(attempted(fixture, &events[2], &Attempt::Delivered).await, DeliveryState::Delivered);
    let endpoint = health(fixture, &acme).await;
    assert!(endpoint.enabled);
    assert_eq!(endpoint.failures, 0);
    assert!(endpoint.failure.is_none());
    assert!(endpoint.success_time.is_none());
    fixture.clock.advance(HOUR);
    let (_, target, events) = claim(fixture).await.remove(0);
    assert_eq!(target.url.as_str(), "https://new.test/");
    assert_eq!(events.len(), 4);
    assert_eq!(attempted(fixture, &events[0], &gone).await, DeliveryState::Dead);
    assert!(!health(fixture, &acme).await.enabled);
    let all = deliveries(fixture, &acme).await;
    assert_eq!(all.iter().filter(|one| one.state == DeliveryState::Dead).count(), 5);
}

async fn what_comes_when_too_many_wait_is_dead_at_once_and_on_the_list(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, id, "CANARY").await;
    fixture.multiply_delivery(at, 9_998).await;
    fixture.put(&acme, id, "CANARY").await;
    let newest = async || deliveries(fixture, &acme).await.remove(0);
    let of_state = async |state: &str| {
        let sql = format!("SELECT CAST(count(*) AS TEXT) AS v FROM event_deliveries WHERE state = '{state}'");
        fixture.text(&sql).await
    };
    assert_eq!(of_state("PENDING").await.as_str(), "10000");
    assert_eq!(of_state("DEAD").await.as_str(), "0");
    fixture.put(&acme, id, "CANARY").await;
    assert_eq!(of_state("PENDING").await.as_str(), "10000");
    assert_eq!(of_state("DEAD").await.as_str(), "1");
    let dead = fixture
        .store
        .event_deliveries()
        .list(&acme, Some(at), Some(DeliveryState::Dead), &page())
        .await
        .unwrap()
        .items;
    let [dead] = dead.as_slice() else { panic!("{dead:?}") };
    assert!(dead.due_time.is_none(), "{dead:?}");
    assert!(dead.failure.as_ref().unwrap().contains("10,000"), "{dead:?}");
    let retry = async || {
        let again = write(&acme, Action::RetryEventDelivery);
        fixture.store.event_deliveries().retry(&acme, at, dead.event, &again).await
    };
    assert!(matches!(retry().await, Err(Error::State(_))), "nor by hand");
    for event in claim(fixture).await.remove(0).2 {
        attempted(fixture, &event, &Attempt::Delivered).await;
    }
    retry().await.unwrap().into_inner();
    fixture.put(&acme, id, "CANARY").await;
    assert_eq!(newest().await.state, DeliveryState::Pending);
    assert_eq!(of_state("DEAD").await.as_str(), "0");
}
