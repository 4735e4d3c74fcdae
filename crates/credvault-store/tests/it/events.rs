//! Events: written with the change that they tell of, claimed once, tried for a day.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use credvault_domain::{
    Action, Clock as _, Config, DeliveryState, Destinations, EventEndpointId, EventId, EventType, Owner,
    TenantId, TenantScope, UserId,
};
use credvault_store::{
    Attempt, ClaimedEvent, Consent, Error, EventDelivery, EventPlace, EventTarget, NewEventEndpoint,
    NewSettings, Page, RefreshFailure, Tested,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::*;
use crate::on_both;
use crate::refreshes::{claimed, record, renewed, renewing, unknown};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub fn new_endpoint(types: &[EventType]) -> NewEventEndpoint {
    NewEventEndpoint {
        id: None,
        url: "https://app.test/events".to_owned(),
        types: types.to_vec(),
        description: String::new(),
        rotate_secret: false,
    }
}

/// Stores an endpoint; its secret, too, if it got one.
pub async fn put(
    fixture: &Fixture,
    scope: &TenantScope,
    new: &NewEventEndpoint,
) -> Result<(EventEndpointId, Option<String>), Error> {
    let write = write(scope, Action::PutEventEndpoint);
    let (endpoint, secret) = fixture.store.event_endpoints().put(scope, new, &write).await?.into_inner();
    Ok((endpoint.id, secret.map(|secret| secret.expose_secret().to_owned())))
}

async fn endpoint(fixture: &Fixture, scope: &TenantScope, types: &[EventType]) -> EventEndpointId {
    put(fixture, scope, &new_endpoint(types)).await.unwrap().0
}

fn page() -> Page {
    Page { size: 500, token: String::new(), query: Vec::new() }
}

async fn deliveries(fixture: &Fixture, scope: &TenantScope) -> Vec<EventDelivery> {
    fixture.store.event_deliveries().list(scope, None, None, &page()).await.unwrap().items
}

/// What was told, the oldest first.
async fn told(fixture: &Fixture, scope: &TenantScope) -> Vec<String> {
    deliveries(fixture, scope).await.into_iter().rev().map(|delivery| delivery.kind).collect()
}

async fn health(fixture: &Fixture, scope: &TenantScope) -> credvault_store::EventEndpoint {
    fixture.store.event_endpoints().list(scope, &page()).await.unwrap().items.remove(0)
}

async fn claim(fixture: &Fixture) -> Vec<(EventPlace, EventTarget, Vec<ClaimedEvent>)> {
    let mut all = Vec::new();
    for place in fixture.store.event_deliveries().due(None).await.unwrap().places {
        if let Some((target, events)) = fixture.store.event_deliveries().claim(&place).await.unwrap() {
            all.push((place, target, events));
        }
    }
    all
}

/// The only event that is due.
async fn only(fixture: &Fixture) -> ClaimedEvent {
    let mut all = claim(fixture).await;
    assert_eq!((all.len(), all[0].2.len()), (1, 1));
    all.remove(0).2.remove(0)
}

fn failed() -> Attempt {
    Attempt::Failed { failure: "status 500".to_owned(), retry_after: None, gone: false }
}

async fn attempted(fixture: &Fixture, event: &ClaimedEvent, attempt: &Attempt) -> DeliveryState {
    fixture.store.event_deliveries().attempted(event, attempt).await.unwrap()
}

on_both! {
    async fn an_event_is_written_with_its_change_or_not_at_all(fixture: &Fixture) {
        let (acme, other) = (fixture.tenant("acme").await, fixture.tenant("other").await);
        let platform = scope(TenantId::PLATFORM, None);
        for scope in [&acme, &other, &platform] {
            endpoint(fixture, scope, &[]).await;
        }
        let id = fixture.connection(&acme, "main").await.id;
        assert_eq!(told(fixture, &acme).await, Vec::<String>::new(), "nothing to tell of yet");
        fixture.put(&acme, id, "CANARY one").await;
        assert_eq!(told(fixture, &acme).await, ["connection.connected", "credential.changed"]);
        let credentials = fixture.store.credentials();
        let put = write(&acme, Action::PutCredential);
        let refused = credentials.put(&acme, id, &credential("CANARY two"), Some(7), &put).await;
        assert!(matches!(refused, Err(Error::VersionMismatch { .. })));
        assert_eq!(deliveries(fixture, &acme).await.len(), 2, "what was rolled back is not told");

        let of_tenant = deliveries(fixture, &acme).await;
        let of_platform = deliveries(fixture, &platform).await;
        assert_eq!(told(fixture, &other).await, Vec::<String>::new());
        let what = |all: &[EventDelivery]| -> Vec<_> { all.iter().map(|one| (one.event, one.body.clone())).collect() };
        assert_eq!(what(&of_tenant), what(&of_platform), "the same event everywhere");
        let body: Value = serde_json::from_str(&of_tenant[0].body).unwrap();
        assert_eq!(body["data"], json!({
            "tenant_id": "acme", "connection_id": id.to_string(), "provider": "generic",
            "owner": { "kind": "tenant", "user_id": null }, "account_name": "main",
            "state": "CONNECTED", "reason": null, "provider_code": null, "version": 1, "change": "STORED",
        }));
        assert!(body["type"] == "credential.changed" && body["timestamp"].as_str().unwrap().ends_with('Z'));
        assert!(of_tenant.iter().all(|one| !one.body.contains("CANARY") && !one.body.contains("hint")));
        let of_platforms_own = fixture.store.connections();
        let new = credvault_store::NewConnection { owner: Owner::Platform, ..new_connection("shared") };
        let create = write(&platform, Action::CreateConnection);
        of_platforms_own.create(&platform, &new, Some(&credential("CANARY")), &create).await.unwrap().into_inner();
        let newest = deliveries(fixture, &platform).await.remove(0);
        assert!(newest.body.contains(r#""tenant_id":null"#) && newest.body.contains(r#""kind":"platform""#));
        assert_eq!(deliveries(fixture, &acme).await.len(), 2, "the platform's own are nobody else's");
    }

    async fn every_way_a_connection_can_go_is_told_once(fixture: &Fixture) {
        let acme = fixture.tenant("acme").await;
        endpoint(fixture, &acme, &[EventType::Recovered, EventType::ReauthorizationRequired, EventType::Connected, EventType::Disconnected]).await;
        let (place, seen) = renewing(fixture, &acme, "a").await;
        let refreshes = fixture.store.refreshes();
        let ours = claimed(&fixture.store, &place, seen).await;
        refreshes.fail(&ours, &unknown(fixture.clock.now()), &record(&place)).await.unwrap();
        let again = claimed(&fixture.store, &place, seen).await;
        refreshes.store(&again, &renewed(&again, "CANARY"), &record(&place)).await.unwrap();
        let fine = claimed(&fixture.store, &place, seen + 1).await;
        refreshes.store(&fine, &renewed(&fine, "CANARY"), &record(&place)).await.unwrap();
        let dead = claimed(&fixture.store, &place, seen + 2).await;
        refreshes.fail(&dead, &RefreshFailure::Dead { code: None }, &record(&place)).await.unwrap();
        fixture.put(&acme, place.connection(), "CANARY").await;
        let disconnect = write(&acme, Action::DisconnectConnection);
        fixture.store.revocations().disconnect(&acme, place.connection(), None, true, &disconnect).await.unwrap().into_inner();
        let delete = write(&acme, Action::DeleteConnection);
        fixture.store.connections().delete(&acme, place.connection(), None, &delete).await.unwrap().into_inner();
        assert_eq!(told(fixture, &acme).await, [
            "connection.connected", "connection.recovered", "connection.reauthorization_required",
            "connection.connected", "connection.disconnected",
        ]);
        let required = deliveries(fixture, &acme).await.remove(2).body;
        assert!(required.contains(r#""reason":"REAUTHORIZATION_REQUIRED""#) && required.contains(r#""state":"ERROR""#));
        // Deleted as it was, and so not served any more; brought back.
        let id = fixture.connection(&acme, "b").await.id;
        fixture.put(&acme, id, "CANARY").await;
        fixture.store.connections().delete(&acme, id, None, &delete).await.unwrap().into_inner();
        assert!(deliveries(fixture, &acme).await[0].body.contains(r#""state":"DELETED""#));
        fixture.store.connections().undelete(&acme, id, None, &write(&acme, Action::UndeleteConnection)).await.unwrap().into_inner();
        assert_eq!(told(fixture, &acme).await[5..], ["connection.connected", "connection.disconnected", "connection.connected"]);
    }

    async fn every_change_of_a_credential_is_told(fixture: &Fixture) {
        let acme = fixture.tenant("acme").await;
        endpoint(fixture, &acme, &[]).await;
        let id = fixture.connection(&acme, "a").await.id;
        let consent = Consent {
            settings: NewSettings { config: Config::default(), destinations: Destinations::default() },
            account: None,
            confirmed_account: None,
            confirmed_settings: BTreeMap::new(),
            scopes: None,
        };
        let (credentials, connections) = (fixture.store.credentials(), fixture.store.connections());
        let complete = write(&acme, Action::CompleteAuthorization);
        credentials.authorize(&acme, id, &credential("CANARY"), &consent, &complete).await.unwrap().into_inner();
        let test = write(&acme, Action::TestConnection);
        let accepted = || Tested::Accepted { account: None, settings: BTreeMap::new() };
        for tested in [Tested::Refused, Tested::Refused, accepted(), accepted()] {
            connections.tested(&acme, id, (1, 0), &tested, &test).await.unwrap().into_inner();
        }
        fixture.put(&acme, id, "CANARY").await;
        let rollback = write(&acme, Action::RollbackCredential);
        credentials.rollback(&acme, id, 1, None, None, &rollback).await.unwrap().into_inner();
        for version in [2, 2, 3] {
            let destroy = write(&acme, Action::DestroyCredentialVersion);
            credentials.destroy(&acme, id, version, &destroy).await.unwrap().into_inner();
        }
        assert_eq!(told(fixture, &acme).await, [
            "connection.connected", "credential.changed",
            "connection.reauthorization_required", "connection.recovered",
            "credential.changed", "credential.changed", "credential.changed",
            "connection.disconnected", "credential.changed",
        ]);
        let changes: Vec<_> = deliveries(fixture, &acme).await.into_iter().rev()
            .filter(|one| one.kind == "credential.changed")
            .map(|one| serde_json::from_str::<Value>(&one.body).unwrap()["data"].take())
            .map(|data| format!("{} {} {}", data["change"], data["version"], data["state"]).replace('"', ""))
            .collect();
        assert_eq!(changes, [
            "STORED 1 CONNECTED", "STORED 2 CONNECTED", "STORED 3 CONNECTED",
            "DESTROYED 2 CONNECTED", "DESTROYED 3 DISCONNECTED",
        ]);
    }

    async fn a_claimed_event_is_nobody_elses_until_its_lease_is_over(fixture: &Fixture) {
        let acme = fixture.tenant("acme").await;
        endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
        let id = fixture.connection(&acme, "a").await.id;
        fixture.put(&acme, id, "CANARY").await;
        let first = only(fixture).await;
        assert!(claim(fixture).await.is_empty());
        fixture.clock.advance(Duration::from_secs(60));
        let second = only(fixture).await;
        assert_eq!((first.event, &first.body, first.attempt), (second.event, &second.body, 1));
        assert_eq!(second.attempt, 2, "the first may have been cut off anywhere");
        // The first comes back late: what it says does not count any more.
        attempted(fixture, &first, &failed()).await;
        assert_eq!(attempted(fixture, &second, &Attempt::Delivered).await, DeliveryState::Delivered);
        attempted(fixture, &first, &failed()).await;
        let stored = deliveries(fixture, &acme).await.remove(0);
        assert_eq!((stored.state, stored.attempts, stored.due_time, stored.failure), (DeliveryState::Delivered, 2, None, None));
    }

    async fn many_who_claim_at_once_get_each_event_once(fixture: &Fixture) {
        let acme = fixture.tenant("acme").await;
        endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
        let id = fixture.connection(&acme, "a").await.id;
        for _ in 0..24 {
            fixture.put(&acme, id, "CANARY").await;
        }
        let (mut seen, mut count) = (BTreeSet::new(), 0);
        while seen.len() < 24 {
            let rounds = futures::future::join_all((0..8).map(|_| claim(fixture))).await;
            let all: Vec<_> = rounds.into_iter().flatten().flat_map(|(_, _, events)| events).collect();
            count += all.len();
            seen.extend(all.into_iter().map(|event| event.event));
        }
        assert_eq!(count, 24);
    }

    async fn after_a_day_of_failures_it_is_dead_and_can_be_sent_again(fixture: &Fixture) {
        let acme = fixture.tenant("acme").await;
        let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
        let id = fixture.connection(&acme, "a").await.id;
        fixture.put(&acme, id, "CANARY").await;
        let (begun, mut attempts, mut events) = (fixture.clock.now(), 0, BTreeSet::new());
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
            assert_eq!((state, stored.failure.as_deref()), (DeliveryState::Pending, Some("status 500")));
            fixture.clock.advance(fixture.clock.now().until(due));
        }
        let took = begun.until(fixture.clock.now());
        assert!(attempts == 9 && took > 18 * HOUR && took < 30 * HOUR, "{attempts} in {took:?}");
        assert_eq!(events.len(), 1, "the same id and body every time");
        let endpoint = health(fixture, &acme).await;
        assert_eq!((endpoint.failures, endpoint.failure.as_deref(), endpoint.success_time), (9, Some("status 500"), None));

        let dead = fixture.store.event_deliveries().list(&acme, Some(at), Some(DeliveryState::Dead), &page()).await.unwrap();
        let again = write(&acme, Action::RetryEventDelivery);
        fixture.store.event_deliveries().retry(&acme, at, dead.items[0].event, &again).await.unwrap().into_inner();
        let event = only(fixture).await;
        assert_eq!((event.event, event.attempt), (dead.items[0].event, 1));
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
        assert_eq!(why, ["status 500", "the endpoint failed for others until its time was over"].into());
        // Its time begins anew when somebody sends it again.
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
        fixture.put(&acme, id, "CANARY").await;
        assert_eq!(deliveries(fixture, &acme).await.len(), 3, "nothing more is written for it");
        let again = write(&acme, Action::RetryEventDelivery);
        let refused = fixture.store.event_deliveries().retry(&acme, at, events[0].event, &again).await;
        assert!(matches!(refused, Err(Error::State(_))), "{refused:?}");
        let (same, secret) = put(fixture, &acme, &NewEventEndpoint { id: Some(at), ..new_endpoint(&[]) }).await.unwrap();
        assert_eq!((same, secret, health(fixture, &acme).await.enabled), (at, None, true));
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
        assert_eq!(attempted(fixture, &events[0], &gone).await, DeliveryState::Pending, "the new URL may take it");
        assert_eq!(attempted(fixture, &events[1], &failed()).await, DeliveryState::Pending);
        assert_eq!(attempted(fixture, &events[2], &Attempt::Delivered).await, DeliveryState::Delivered);
        let endpoint = health(fixture, &acme).await;
        assert!(endpoint.enabled && endpoint.failures == 0 && endpoint.failure.is_none() && endpoint.success_time.is_none());
        fixture.clock.advance(HOUR);
        let (_, target, events) = claim(fixture).await.remove(0);
        assert_eq!((target.url.as_str(), events.len()), ("https://new.test/", 4));
        assert_eq!(attempted(fixture, &events[0], &gone).await, DeliveryState::Dead);
        assert!(!health(fixture, &acme).await.enabled);
        let all = deliveries(fixture, &acme).await;
        assert_eq!(all.iter().filter(|one| one.state == DeliveryState::Dead).count(), 5);
    }

    async fn a_tenant_with_much_that_is_due_hides_nobody_elses(fixture: &Fixture) {
        let (hog, away, small) = (fixture.tenant("hog").await, fixture.tenant("away").await, fixture.tenant("small").await);
        let mut places = Vec::new();
        for scope in [&hog, &away, &small] {
            let at = endpoint(fixture, scope, &[EventType::CredentialChanged]).await;
            let id = fixture.connection(scope, "a").await.id;
            fixture.put(scope, id, "CANARY").await;
            places.push(at);
            fixture.clock.advance(Duration::from_secs(1));
        }
        fixture.multiply_delivery(places[1], 1_100).await;
        let suspend = write(&away, Action::SuspendTenant);
        fixture.store.tenants().set_state(&away, credvault_domain::TenantState::Suspended, &suspend).await.unwrap().into_inner();
        let due = async || {
            let due = fixture.store.event_deliveries().due(None).await.unwrap();
            due.places.iter().map(EventPlace::endpoint).collect::<Vec<_>>()
        };
        // First a suspended tenant's much, then a served one's.
        assert_eq!(due().await, [places[0], places[2]]);
        fixture.multiply_delivery(places[0], 1_100).await;
        assert_eq!(due().await, [places[0], places[2]]);
    }

    async fn a_search_goes_on_until_it_has_met_every_endpoint(fixture: &Fixture) {
        let acme = fixture.tenant("acme").await;
        let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
        let id = fixture.connection(&acme, "a").await.id;
        fixture.put(&acme, id, "CANARY").await;
        let random = if fixture.postgres.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
        let others = "url, types, description, enabled, generation, schema, key_version, sealed, failures, create_time, update_time";
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
             INSERT INTO event_endpoints (tenant_id, id, {others}) SELECT tenant_id, {random}, {others} FROM event_endpoints, n"
        );
        fixture.execute(&sql).await;
        let due = fixture.clock.now().micros() + 1;
        let one_each = format!(
            "INSERT INTO event_deliveries (tenant_id, endpoint_id, event_id, type, body, state, attempts, due_time, expire_time,
                 create_time, about_tenant, user_deleted)
             SELECT e.tenant_id, e.id, d.event_id, d.type, d.body, 'PENDING', 0, {due}, d.expire_time, d.create_time, 'acme', d.user_deleted
             FROM event_endpoints e JOIN event_deliveries d ON d.endpoint_id <> e.id"
        );
        assert_eq!(fixture.execute(&one_each).await, 600);
        fixture.multiply_delivery(at, 1_100).await;
        fixture.clock.advance(Duration::from_secs(1));
        let (mut from, mut met) = (None, BTreeSet::new());
        for search in 0..3 {
            let due = fixture.store.event_deliveries().due(from.as_ref()).await.unwrap();
            assert_eq!(due.places[0].endpoint(), at, "the longest waiting first");
            met.extend(due.places.iter().map(|place| place.endpoint().as_uuid()));
            assert_eq!(due.next.is_some(), search < 2);
            from = due.next;
        }
        assert_eq!(met.len(), 601);
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
        assert_eq!((of_state("PENDING").await.as_str(), of_state("DEAD").await.as_str()), ("10000", "0"));
        fixture.put(&acme, id, "CANARY").await;
        assert_eq!((of_state("PENDING").await.as_str(), of_state("DEAD").await.as_str()), ("10000", "1"));
        let dead = fixture.store.event_deliveries().list(&acme, Some(at), Some(DeliveryState::Dead), &page()).await.unwrap().items;
        let [dead] = dead.as_slice() else { panic!("{dead:?}") };
        assert!(dead.due_time.is_none() && dead.failure.as_ref().unwrap().contains("10,000"), "{dead:?}");
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
        assert_eq!((newest().await.state, of_state("DEAD").await.as_str()), (DeliveryState::Pending, "0"));
    }

    async fn an_endpoint_with_much_goes_in_pieces_and_is_nobodys_meanwhile(fixture: &Fixture) {
        let acme = fixture.tenant("acme").await;
        let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
        let id = fixture.connection(&acme, "a").await.id;
        fixture.put(&acme, id, "CANARY").await;
        let event = deliveries(fixture, &acme).await[0].event;
        fixture.multiply_delivery(at, 700).await;
        fixture.only_pieces_of(&["event_deliveries", "event_endpoints"]).await;
        let (endpoints, sent) = (fixture.store.event_endpoints(), fixture.store.event_deliveries());
        let delete = repeatable(&acme, Action::DeleteEventEndpoint, Uuid::from_u128(1), "e");
        // As if it had been killed at once.
        endpoints.delete(&acme, at, &delete, std::time::Instant::now()).await.unwrap().into_inner();
        assert_eq!((fixture.count("event_deliveries").await, fixture.count("endpoint_deletions").await), (701, 1));
        assert!(endpoints.list(&acme, &page()).await.unwrap().items.is_empty());
        assert!(deliveries(fixture, &acme).await.is_empty() && claim(fixture).await.is_empty());
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
        assert_eq!((fixture.count("event_deliveries").await, fixture.count("endpoint_deletions").await), (0, 0));
        assert_eq!(fixture.count("event_endpoints").await, 16);
        // The first request once more; and a call that has the time for all of it.
        endpoints.delete(&acme, at, &delete, soon()).await.unwrap().into_inner();
        let one = endpoints.list(&acme, &page()).await.unwrap().items.remove(0).id;
        put(fixture, &acme, &NewEventEndpoint { id: Some(one), ..new_endpoint(&[]) }).await.unwrap();
        fixture.put(&acme, id, "CANARY").await;
        fixture.multiply_delivery(one, 300).await;
        endpoints.delete(&acme, one, &write(&acme, Action::DeleteEventEndpoint), soon()).await.unwrap().into_inner();
        assert_eq!((fixture.count("event_deliveries").await, fixture.count("event_endpoints").await), (0, 15));
    }

    async fn much_that_waits_at_an_endpoint_that_is_gone_is_given_up_in_pieces(fixture: &Fixture) {
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
        let dead = "SELECT CAST(count(*) AS TEXT) AS v FROM event_deliveries WHERE state = 'DEAD' AND due_time IS NULL";
        assert_eq!(fixture.text(dead).await, "701");
    }

    async fn much_that_nobody_took_in_time_is_given_up_in_pieces(fixture: &Fixture) {
        let acme = fixture.tenant("acme").await;
        let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
        let id = fixture.connection(&acme, "a").await.id;
        fixture.put(&acme, id, "CANARY").await;
        fixture.multiply_delivery(at, 700).await;
        fixture.only_pieces_of(&["event_deliveries"]).await;
        fixture.clock.advance(28 * HOUR);
        fixture.store.upkeep().await.unwrap();
        let dead = "SELECT CAST(count(*) AS TEXT) AS v FROM event_deliveries WHERE state = 'DEAD' AND due_time IS NULL";
        assert_eq!(fixture.text(dead).await, "701");
        fixture.clock.advance(31 * DAY);
        fixture.store.upkeep().await.unwrap();
        assert_eq!(fixture.count("event_deliveries").await, 0);
    }

    async fn much_that_waits_at_a_broken_endpoint_rests_with_one_alarm(fixture: &Fixture) {
        let acme = fixture.tenant("acme").await;
        let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
        let id = fixture.connection(&acme, "a").await.id;
        fixture.put(&acme, id, "CANARY").await;
        fixture.multiply_delivery(at, 700).await;
        fixture.only_pieces_of(&["event_deliveries"]).await;
        fixture.execute("UPDATE event_endpoints SET generation = generation + 1").await;
        let sent = fixture.store.event_deliveries();
        let place = sent.due(None).await.unwrap().places.remove(0);
        assert!(matches!(sent.claim(&place).await, Err(Error::Integrity)));
        assert!(sent.due(None).await.unwrap().places.is_empty());
        // What a process that was killed half-way left, or what was written since, rests as well.
        let now = fixture.clock.now().micros();
        let some = format!("UPDATE event_deliveries SET due_time = {now} WHERE event_id IN (SELECT event_id FROM event_deliveries LIMIT 150)");
        fixture.execute(&some).await;
        assert!(sent.claim(&place).await.unwrap().is_none());
        assert!(sent.due(None).await.unwrap().places.is_empty());
        let records = "SELECT CAST(count(*) AS TEXT) AS v FROM audit_events WHERE reason = 'INTEGRITY_FAILURE'";
        assert_eq!(fixture.text(records).await, "1");
        fixture.clock.advance(HOUR + Duration::from_secs(1));
        assert_eq!(sent.due(None).await.unwrap().places.len(), 1);
    }

    async fn the_secret_before_signs_for_a_day_more(fixture: &Fixture) {
        let acme = fixture.tenant("acme").await;
        let (at, first) = put(fixture, &acme, &new_endpoint(&[])).await.unwrap();
        let rotate = NewEventEndpoint { id: Some(at), rotate_secret: true, ..new_endpoint(&[]) };
        let live = async || {
            let target = fixture.store.event_endpoints().target(&acme, at).await.unwrap();
            target.secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect::<Vec<_>>()
        };
        let first = first.unwrap();
        assert!(first.starts_with("whsec_") && first.len() == 50 && live().await == [first.as_str()]);
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
        assert!(one.id == same.id && secret.is_some());
    }

    async fn there_are_at_most_sixteen_and_foreign_ones_do_not_exist(fixture: &Fixture) {
        let (acme, other) = (fixture.tenant("acme").await, fixture.tenant("other").await);
        let at = endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
        let id = fixture.connection(&acme, "a").await.id;
        fixture.put(&acme, id, "CANARY").await;
        let event = deliveries(fixture, &acme).await[0].event;
        let (endpoints, sent) = (fixture.store.event_endpoints(), fixture.store.event_deliveries());
        let unknown = (EventEndpointId::from_uuid(Uuid::from_u128(1)), EventId::from_uuid(Uuid::from_u128(2)));
        for scope in [&other, &scope(TenantId::PLATFORM, None)] {
            for (at, event) in [(at, event), unknown] {
                let change = NewEventEndpoint { id: Some(at), ..new_endpoint(&[]) };
                assert!(matches!(put(fixture, scope, &change).await, Err(Error::EventEndpointNotFound)));
                assert!(matches!(endpoints.target(scope, at).await, Err(Error::EventEndpointNotFound)));
                assert!(matches!(endpoints.delete(scope, at, &write(scope, Action::DeleteEventEndpoint), soon()).await, Err(Error::EventEndpointNotFound)));
                assert!(matches!(sent.retry(scope, at, event, &write(scope, Action::RetryEventDelivery)).await, Err(Error::EventDeliveryNotFound)));
                assert!(sent.list(scope, Some(at), None, &page()).await.unwrap().items.is_empty());
            }
        }
        for _ in 1..16 {
            endpoint(fixture, &acme, &[]).await;
        }
        assert!(matches!(put(fixture, &acme, &new_endpoint(&[])).await, Err(Error::TooManyEventEndpoints)));
        endpoints.delete(&acme, at, &write(&acme, Action::DeleteEventEndpoint), soon()).await.unwrap().into_inner();
        assert!(sent.list(&acme, Some(at), None, &page()).await.unwrap().items.is_empty(), "it took its deliveries along");
        endpoint(fixture, &acme, &[]).await;
    }

    async fn what_was_sent_about_a_user_goes_with_the_user(fixture: &Fixture) {
        let (acme, other) = (fixture.tenant("acme").await, fixture.tenant("other").await);
        let platform = scope(TenantId::PLATFORM, None);
        for scope in [&acme, &platform] {
            endpoint(fixture, scope, &[EventType::CredentialChanged, EventType::Disconnected]).await;
        }
        let gone = UserId::parse("u1").unwrap();
        let mut ids = Vec::new();
        for (tenant, user) in [(&acme, "u1"), (&acme, "u2"), (&other, "u1")] {
            let scope = scope(tenant.tenant().as_str(), Some(user));
            let new = credvault_store::NewConnection { owner: Owner::User(UserId::parse(user).unwrap()), ..new_connection("main") };
            let create = write(&scope, Action::CreateConnection);
            ids.push(fixture.store.connections().create(&scope, &new, Some(&credential("CANARY")), &create).await.unwrap().into_inner().id);
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
            let theirs = all.into_iter().filter(|one| one.body.contains(r#""user_id":"u1""#) && one.body.contains("acme"));
            theirs.map(|one| (one.kind, one.state)).collect::<Vec<_>>()
        };
        let delete = write(&acme, Action::DeleteUser);
        assert_eq!(fixture.store.users().delete(&acme, &gone, &delete, soon()).await.unwrap().into_inner(), 1);
        for scope in [&acme, &platform] {
            let pending = DeliveryState::Pending;
            let left = [("connection.disconnected".to_owned(), pending), ("credential.changed".to_owned(), pending)];
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
        assert_eq!((about(&acme).await, about(&platform).await), (Vec::new(), Vec::new()));
        assert_eq!((deliveries(fixture, &acme).await.len(), deliveries(fixture, &platform).await.len()), (1, 2), "others' stay");
    }

    async fn pages_show_every_delivery_once_the_newest_first(fixture: &Fixture) {
        let acme = fixture.tenant("acme").await;
        let (one, _) = (endpoint(fixture, &acme, &[]).await, endpoint(fixture, &acme, &[]).await);
        let id = fixture.connection(&acme, "a").await.id;
        for _ in 0..4 {
            fixture.put(&acme, id, "CANARY").await;
        }
        let all: Vec<_> = deliveries(fixture, &acme).await.into_iter().map(|one| (one.event, one.endpoint)).collect();
        assert!(all.len() == 10 && all.is_sorted_by(|one, next| one > next), "{all:?}");
        let (mut token, mut paged) = (String::new(), Vec::new());
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
        assert!(of_one.len() == 5 && of_one.iter().all(|delivery| delivery.endpoint == one));
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
}
