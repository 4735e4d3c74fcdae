//! What a receiver gets: signed events, retries, and nothing from endpoints of others.

use std::collections::BTreeSet;
use std::time::Duration;

use credvault_domain::Clock as _;
use credvault_proto::v1;

use super::{CHANGED, DAY, again, deliveries, endpoint, got, health, register, started};
use crate::harness::receiver::Receiver;
use crate::harness::{VaultBuilder, eventually, generic, refusal};
use crate::on_both;

on_both![
    signed_events_reach_the_tenant_and_the_platform_and_no_other_tenant,
    a_receiver_that_fails_gets_the_same_event_until_it_recovers,
    an_event_that_fails_for_a_day_is_a_dead_letter_that_can_be_sent_again,
    a_receiver_that_is_gone_gets_nothing_until_it_is_registered_again,
    one_receiver_that_does_not_answer_delays_no_other,
];

async fn signed_events_reach_the_tenant_and_the_platform_and_no_other_tenant(builder: VaultBuilder) {
    let (vault, operator) = started(builder).await;
    let app = vault.app("acme").await;
    let other = vault.app("other").await;
    let ours = Receiver::start().await;
    let theirs = Receiver::start().await;
    let platforms = Receiver::start().await;
    let (id, secret) = register(&operator, "acme", &ours.url, &[]).await;
    let (_, foreign) = register(&operator, "other", &theirs.url, &[]).await;
    let (_, shared) = register(&operator, "", &platforms.url, &[]).await;
    let connection = app.create(generic("main", "CANARY one")).await.unwrap();
    app.put(&connection.id, "CANARY two").await.unwrap();
    other.create(generic("main", "CANARY three")).await.unwrap();
    got(&ours, 3).await;
    got(&theirs, 2).await;
    got(&platforms, 5).await;

    let event = ours.received().into_iter().find(|event| event.json()["data"]["version"] == 2).unwrap();
    assert!(event.verifies(&secret));
    assert!(!event.verifies(&foreign));
    assert!(!event.verifies(&shared));
    let mut forged = event.clone();
    forged.body.push(b' ');
    assert!(!forged.verifies(&secret));
    assert_eq!(event.headers["content-type"], "application/json");
    let data = &event.json()["data"];
    assert_eq!(data["tenant_id"].as_str(), Some("acme"));
    assert_eq!(data["connection_id"].as_str(), Some(connection.id.as_str()));
    assert_eq!(data["provider"].as_str(), Some("generic"));
    assert_eq!(data["change"].as_str(), Some("STORED"));
    let of = |receiver: &Receiver| -> BTreeSet<String> {
        receiver
            .received()
            .iter()
            .map(|event| event.json()["data"]["tenant_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(of(&ours), ["acme".to_owned()].into());
    assert_eq!(of(&theirs), ["other".to_owned()].into());
    assert_eq!(of(&platforms).len(), 2);
    for event in [ours.received(), theirs.received(), platforms.received()].concat() {
        assert!(!String::from_utf8_lossy(&event.body).contains("CANARY"), "{event:?}");
    }
    let mine: BTreeSet<_> = ours.received().iter().map(|event| event.id().to_owned()).collect();
    let all: BTreeSet<_> = platforms.received().iter().map(|event| event.id().to_owned()).collect();
    assert_eq!(mine.len(), 3, "an event has one id everywhere");
    assert_eq!(all.len(), 5, "an event has one id everywhere");
    assert!(mine.is_subset(&all), "an event has one id everywhere");
    eventually("notes", || async {
        deliveries(&operator, "acme", v1::EventDeliveryState::Delivered).await.len() == 3
    })
    .await;
    let endpoint = health(&operator, "acme").await;
    assert_eq!(endpoint.id, id);
    assert!(endpoint.last_success_time.is_some());
    assert_eq!(endpoint.consecutive_failures, 0);
    let shown = deliveries(&operator, "acme", v1::EventDeliveryState::Unspecified).await;
    assert!(shown.iter().any(|one| one.payload.as_bytes() == event.body && one.event_id == event.id()));
    assert!(vault.metrics().await.contains(r#"credvault_event_deliveries_total{outcome="delivered"}"#));
}

async fn a_receiver_that_fails_gets_the_same_event_until_it_recovers(builder: VaultBuilder) {
    let (vault, operator) = started(builder).await;
    let app = vault.app("acme").await;
    let receiver = Receiver::start().await;
    let elsewhere = Receiver::start().await;
    receiver.answer(&[500]);
    receiver.reply(Some((302, vec![("location", elsewhere.url.clone())])));
    receiver.reply(Some((429, vec![("retry-after", "600".to_owned())])));
    let (_, secret) = register(&operator, "acme", &receiver.url, CHANGED).await;
    app.create(generic("main", "CANARY")).await.unwrap();
    let failed = async |count: i64, why: &str| {
        eventually("a failure", || async { health(&operator, "acme").await.consecutive_failures == count })
            .await;
        assert_eq!(health(&operator, "acme").await.last_failure, why);
    };
    failed(1, "status 500").await;
    vault.clock.advance(Duration::from_secs(6));
    failed(2, "status 302").await;
    vault.clock.advance(Duration::from_secs(72));
    failed(3, "status 429").await;
    let pending = deliveries(&operator, "acme", v1::EventDeliveryState::Pending).await.remove(0);
    let next = pending.next_attempt_time.unwrap().seconds - pending.last_attempt_time.unwrap().seconds;
    assert_eq!(next, 600, "as long as it asks for");
    assert_eq!(pending.attempts, 3, "as long as it asks for");
    vault.clock.advance(Duration::from_secs(600));
    eventually("success", || async { health(&operator, "acme").await.consecutive_failures == 0 }).await;
    let all = receiver.received();
    let ids: BTreeSet<_> = all.iter().map(|event| (event.id(), &event.body)).collect();
    let times: BTreeSet<_> = all.iter().map(|event| &event.headers["webhook-timestamp"]).collect();
    assert_eq!(all.len(), 4, "one event, each attempt with its own time");
    assert_eq!(ids.len(), 1, "one event, each attempt with its own time");
    assert_eq!(times.len(), 4, "one event, each attempt with its own time");
    assert_eq!(elsewhere.count(), 0, "a redirect is not followed");
    assert!(!all[0].verifies("whsec_AAAA"));
    assert!(!secret.is_empty());
}

async fn an_event_that_fails_for_a_day_is_a_dead_letter_that_can_be_sent_again(builder: VaultBuilder) {
    let (vault, operator) = started(builder).await;
    let app = vault.app("acme").await;
    let receiver = Receiver::start().await;
    receiver.answer(&[503; 9]);
    register(&operator, "acme", &receiver.url, CHANGED).await;
    app.create(generic("main", "CANARY")).await.unwrap();
    for count in 1..=9 {
        eventually("a failure", || async { health(&operator, "acme").await.consecutive_failures == count })
            .await;
        if let Some(pending) = deliveries(&operator, "acme", v1::EventDeliveryState::Pending).await.pop() {
            let next = pending.next_attempt_time.unwrap().seconds + 1 - vault.clock.now().seconds();
            vault.clock.advance(Duration::from_secs(next.try_into().unwrap()));
        }
    }
    let dead = deliveries(&operator, "acme", v1::EventDeliveryState::Dead).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].attempts, 9);
    assert_eq!(dead[0].last_failure, "status 503");
    assert!(dead[0].next_attempt_time.is_none());
    assert!(vault.metrics().await.contains(r#"credvault_event_deliveries_total{outcome="dead"}"#));
    vault.clock.advance(DAY);
    again(&operator, &dead[0]).await.unwrap();
    got(&receiver, 10).await;
    assert_eq!(receiver.received()[9].id(), dead[0].event_id);
    eventually("success", || async { health(&operator, "acme").await.consecutive_failures == 0 }).await;
    assert!(deliveries(&operator, "acme", v1::EventDeliveryState::Dead).await.is_empty());
}

async fn a_receiver_that_is_gone_gets_nothing_until_it_is_registered_again(builder: VaultBuilder) {
    let (vault, operator) = started(builder).await;
    let app = vault.app("acme").await;
    let receiver = Receiver::start().await;
    receiver.answer(&[410]);
    let (id, _) = register(&operator, "acme", &receiver.url, CHANGED).await;
    let connection = app.create(generic("main", "CANARY")).await.unwrap();
    let disabled = v1::EventEndpointState::Disabled;
    eventually("an end", || async { health(&operator, "acme").await.state() == disabled }).await;
    app.put(&connection.id, "CANARY").await.unwrap();
    let dead = deliveries(&operator, "acme", v1::EventDeliveryState::Unspecified).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].state(), v1::EventDeliveryState::Dead);
    let refused = again(&operator, &dead[0]).await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition STATE_INVALID");
    assert!(refused.message().contains("PutEventEndpoint"));
    let test = v1::TestEventEndpointRequest { tenant_id: "acme".into(), endpoint_id: id.clone() };
    let tested = operator.admin().test_event_endpoint(test).await.unwrap().into_inner();
    assert!(tested.delivered, "{tested:?}");
    assert!(receiver.types().contains(&"endpoint.test".to_owned()), "{tested:?}");
    let enable = v1::PutEventEndpointRequest { endpoint_id: id, ..endpoint("acme", &receiver.url) };
    let enabled = operator.admin().put_event_endpoint(enable).await.unwrap().into_inner();
    assert!(enabled.secret.is_empty());
    assert_eq!(enabled.endpoint.unwrap().state(), v1::EventEndpointState::Enabled);
    app.put(&connection.id, "CANARY").await.unwrap();
    got(&receiver, 3).await;
}

async fn one_receiver_that_does_not_answer_delays_no_other(builder: VaultBuilder) {
    let (vault, operator) = started(builder).await;
    let app = vault.app("acme").await;
    let silent = Receiver::start().await;
    let prompt = Receiver::start().await;
    for _ in 0..8 {
        silent.reply(None);
    }
    register(&operator, "acme", &silent.url, CHANGED).await;
    register(&operator, "acme", &prompt.url, CHANGED).await;
    let begun = tokio::time::Instant::now();
    let connection = app.create(generic("main", "CANARY")).await.unwrap();
    for _ in 1..8 {
        app.put(&connection.id, "CANARY").await.unwrap();
    }
    got(&prompt, 8).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!((1..=4).contains(&silent.count()), "{} at once", silent.count());
    eventually("a failure", || async { health(&operator, "acme").await.consecutive_failures > 0 }).await;
    assert_eq!(health(&operator, "acme").await.last_failure, "it did not answer within 10 seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_send_each_event_once() {
    let (mut vault, operator) = started(VaultBuilder::postgres()).await;
    let app = vault.app("acme").await;
    let first = vault.instance.take().unwrap();
    vault.start().await;
    let receiver = Receiver::start().await;
    register(&operator, "acme", &receiver.url, CHANGED).await;
    register(&operator, "", &receiver.url, CHANGED).await;
    let connection = app.create(generic("main", "CANARY")).await.unwrap();
    for _ in 1..40 {
        app.put(&connection.id, "CANARY").await.unwrap();
    }
    got(&receiver, 80).await;
    eventually("notes", || async { vault.count("event_deliveries WHERE state = 'DELIVERED'").await == 80 })
        .await;
    let ids: BTreeSet<_> = receiver.received().iter().map(|event| event.id().to_owned()).collect();
    assert_eq!(receiver.count(), 80);
    assert_eq!(ids.len(), 40);
    first.stop().await;
}
