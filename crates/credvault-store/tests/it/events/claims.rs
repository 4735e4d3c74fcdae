//! Who sends an event: claims, leases, and the order of tenants and endpoints.

use std::collections::BTreeSet;
use std::time::Duration;

use credvault_domain::{Action, Clock as _, DeliveryState, EventType};
use credvault_store::{Attempt, EndpointKey};

use super::{attempted, claim, deliveries, endpoint, failed, only};
use crate::fixture::{Fixture, write};
use crate::on_both;

on_both![
    a_claimed_event_is_not_claimed_again_until_its_lease_is_over,
    many_who_claim_at_once_get_each_event_once,
    a_tenant_with_many_due_events_hides_no_other_tenants,
    a_search_goes_on_until_it_has_met_every_endpoint,
];

async fn a_claimed_event_is_not_claimed_again_until_its_lease_is_over(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, id, "CANARY").await;
    let first = only(fixture).await;
    assert!(claim(fixture).await.is_empty());
    fixture.clock.advance(Duration::from_secs(60));
    let second = only(fixture).await;
    assert_eq!(first.event, second.event);
    assert_eq!(&first.body, &second.body);
    assert_eq!(first.attempt, 1);
    assert_eq!(second.attempt, 2, "the first may have been cut off anywhere");
    // The first comes back late: what it says does not count any more.
    attempted(fixture, &first, &failed()).await;
    assert_eq!(attempted(fixture, &second, &Attempt::Delivered).await, DeliveryState::Delivered);
    attempted(fixture, &first, &failed()).await;
    let stored = deliveries(fixture, &acme).await.remove(0);
    assert_eq!(stored.state, DeliveryState::Delivered);
    assert_eq!(stored.attempts, 2);
    assert_eq!(stored.due_time, None);
    assert_eq!(stored.failure, None);
}

async fn many_who_claim_at_once_get_each_event_once(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    endpoint(fixture, &acme, &[EventType::CredentialChanged]).await;
    let id = fixture.connection(&acme, "a").await.id;
    for _ in 0..24 {
        fixture.put(&acme, id, "CANARY").await;
    }
    let mut seen = BTreeSet::new();
    let mut count = 0;
    while seen.len() < 24 {
        let rounds = futures::future::join_all((0..8).map(|_| claim(fixture))).await;
        let all: Vec<_> = rounds.into_iter().flatten().flat_map(|(_, _, events)| events).collect();
        count += all.len();
        seen.extend(all.into_iter().map(|event| event.event));
    }
    assert_eq!(count, 24);
}

async fn a_tenant_with_many_due_events_hides_no_other_tenants(fixture: &Fixture) {
    let hog = fixture.tenant("hog").await;
    let away = fixture.tenant("away").await;
    let small = fixture.tenant("small").await;
    let mut keys = Vec::new();
    for scope in [&hog, &away, &small] {
        let at = endpoint(fixture, scope, &[EventType::CredentialChanged]).await;
        let id = fixture.connection(scope, "a").await.id;
        fixture.put(scope, id, "CANARY").await;
        keys.push(at);
        fixture.clock.advance(Duration::from_secs(1));
    }
    fixture.multiply_delivery(keys[1], 1_100).await;
    let suspend = write(&away, Action::SuspendTenant);
    fixture
        .store
        .tenants()
        .set_state(&away, credvault_domain::TenantState::Suspended, &suspend)
        .await
        .unwrap()
        .into_inner();
    let due = async || {
        let due = fixture.store.event_deliveries().due(None).await.unwrap();
        due.keys.iter().map(EndpointKey::endpoint).collect::<Vec<_>>()
    };
    // First a suspended tenant's much, then a served one's.
    assert_eq!(due().await, [keys[0], keys[2]]);
    fixture.multiply_delivery(keys[0], 1_100).await;
    assert_eq!(due().await, [keys[0], keys[2]]);
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
    let mut from = None;
    let mut met = BTreeSet::new();
    for search in 0..3 {
        let due = fixture.store.event_deliveries().due(from.as_ref()).await.unwrap();
        assert_eq!(due.keys[0].endpoint(), at, "the longest waiting first");
        met.extend(due.keys.iter().map(|key| key.endpoint().as_uuid()));
        assert_eq!(due.next.is_some(), search < 2);
        from = due.next;
    }
    assert_eq!(met.len(), 601);
}
