//! Events reach the URLs that tenants and the platform have registered, signed, however often that takes.

use std::collections::BTreeSet;
use std::time::Duration;

use credvault::proto::v1;
use credvault_domain::Clock as _;
use credvault_testkit::LeafSpec;
use tonic::Status;

use crate::harness::receiver::Receiver;
use crate::harness::{Client, DOMAIN, TestVault, eventually, generic, postgres_database, refusal};
use crate::on_both;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A vault that may call this machine, and the operator of it.
async fn started(mut vault: TestVault) -> (TestVault, Client) {
    if vault.instance.is_some() {
        vault.stop().await;
    }
    vault.settings.broker.allowed_networks = vec!["127.0.0.0/8".into()];
    vault.start().await;
    let operator = lasting(&vault, "operator").await;
    (vault, operator)
}

/// A client with a certificate that outlives what the clock does here.
async fn lasting(vault: &TestVault, service: &str) -> Client {
    let spec = LeafSpec::service(&format!("spiffe://{DOMAIN}/{service}"));
    let spec = LeafSpec { ends: time::Duration::days(90), ..spec };
    vault.client_with(&vault.authority.issue(&spec)).await.unwrap()
}

fn endpoint(tenant: &str, url: &str) -> v1::PutEventEndpointRequest {
    v1::PutEventEndpointRequest { tenant_id: tenant.into(), url: url.into(), ..Default::default() }
}

/// Registers an endpoint for one type of events, and gives its id and secret.
async fn register(operator: &Client, tenant: &str, url: &str, types: &[&str]) -> (String, String) {
    let types = types.iter().map(|kind| (*kind).to_owned()).collect();
    let request = v1::PutEventEndpointRequest { types, ..endpoint(tenant, url) };
    let stored = operator.admin().put_event_endpoint(request).await.unwrap().into_inner();
    (stored.endpoint.unwrap().id, stored.secret)
}

async fn health(operator: &Client, tenant: &str) -> v1::EventEndpoint {
    let request = v1::ListEventEndpointsRequest { tenant_id: tenant.into(), ..Default::default() };
    operator.admin().list_event_endpoints(request).await.unwrap().into_inner().endpoints.remove(0)
}

async fn deliveries(
    operator: &Client,
    tenant: &str,
    state: v1::EventDeliveryState,
) -> Vec<v1::EventDelivery> {
    let request = v1::ListEventDeliveriesRequest {
        tenant_id: tenant.into(),
        state: state.into(),
        ..Default::default()
    };
    operator.admin().list_event_deliveries(request).await.unwrap().into_inner().deliveries
}

async fn again(operator: &Client, delivery: &v1::EventDelivery) -> Result<(), Status> {
    let request = v1::RetryEventDeliveryRequest {
        tenant_id: "acme".into(),
        endpoint_id: delivery.endpoint_id.clone(),
        event_id: delivery.event_id.clone(),
        ..Default::default()
    };
    operator.admin().retry_event_delivery(request).await.map(|_| ())
}

/// Waits until a receiver has got so many.
async fn got(receiver: &Receiver, count: usize) {
    eventually(&format!("delivery {count}"), || async { receiver.count() >= count }).await;
}

const CHANGED: &[&str] = &["credential.changed"];

on_both! {
    async fn signed_events_reach_the_tenant_and_the_platform_and_nobody_else(vault: TestVault) {
        let (vault, operator) = started(vault).await;
        let app = vault.app("acme").await;
        let other = vault.app("other").await;
        let (ours, theirs, platforms) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
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
        assert!(event.verifies(&secret) && !event.verifies(&foreign) && !event.verifies(&shared));
        let mut forged = event.clone();
        forged.body.push(b' ');
        assert!(!forged.verifies(&secret));
        assert_eq!(event.headers["content-type"], "application/json");
        let data = &event.json()["data"];
        assert_eq!((data["tenant_id"].as_str(), data["connection_id"].as_str()), (Some("acme"), Some(connection.id.as_str())));
        assert_eq!((data["provider"].as_str(), data["change"].as_str()), (Some("generic"), Some("STORED")));
        let of = |receiver: &Receiver| -> BTreeSet<String> {
            receiver.received().iter().map(|event| event.json()["data"]["tenant_id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!((of(&ours), of(&theirs)), (["acme".to_owned()].into(), ["other".to_owned()].into()));
        assert_eq!(of(&platforms).len(), 2);
        for event in [ours.received(), theirs.received(), platforms.received()].concat() {
            assert!(!String::from_utf8_lossy(&event.body).contains("CANARY"), "{event:?}");
        }
        let mine: BTreeSet<_> = ours.received().iter().map(|event| event.id().to_owned()).collect();
        let all: BTreeSet<_> = platforms.received().iter().map(|event| event.id().to_owned()).collect();
        assert!(mine.len() == 3 && all.len() == 5 && mine.is_subset(&all), "an event has one id everywhere");
        eventually("notes", || async { deliveries(&operator, "acme", v1::EventDeliveryState::Delivered).await.len() == 3 }).await;
        let endpoint = health(&operator, "acme").await;
        assert!(endpoint.id == id && endpoint.last_success_time.is_some() && endpoint.consecutive_failures == 0);
        let shown = deliveries(&operator, "acme", v1::EventDeliveryState::Unspecified).await;
        assert!(shown.iter().any(|one| one.payload.as_bytes() == event.body && one.event_id == event.id()));
        assert!(vault.metrics().await.contains(r#"credvault_event_deliveries_total{outcome="delivered"}"#));
    }

    async fn a_receiver_that_fails_gets_the_same_event_until_it_recovers(vault: TestVault) {
        let (vault, operator) = started(vault).await;
        let app = vault.app("acme").await;
        let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
        receiver.answer(&[500]);
        receiver.reply(Some((302, vec![("location", elsewhere.url.clone())])));
        receiver.reply(Some((429, vec![("retry-after", "600".to_owned())])));
        let (_, secret) = register(&operator, "acme", &receiver.url, CHANGED).await;
        app.create(generic("main", "CANARY")).await.unwrap();
        let failed = async |count: i64, why: &str| {
            eventually("a failure", || async { health(&operator, "acme").await.consecutive_failures == count }).await;
            assert_eq!(health(&operator, "acme").await.last_failure, why);
        };
        failed(1, "status 500").await;
        vault.clock.advance(Duration::from_secs(6));
        failed(2, "status 302").await;
        vault.clock.advance(Duration::from_secs(72));
        failed(3, "status 429").await;
        let pending = deliveries(&operator, "acme", v1::EventDeliveryState::Pending).await.remove(0);
        let next = pending.next_attempt_time.unwrap().seconds - pending.last_attempt_time.unwrap().seconds;
        assert_eq!((next, pending.attempts), (600, 3), "as long as it asks for");
        vault.clock.advance(Duration::from_secs(600));
        eventually("success", || async { health(&operator, "acme").await.consecutive_failures == 0 }).await;
        let all = receiver.received();
        let ids: BTreeSet<_> = all.iter().map(|event| (event.id(), &event.body)).collect();
        let times: BTreeSet<_> = all.iter().map(|event| &event.headers["webhook-timestamp"]).collect();
        assert_eq!((all.len(), ids.len(), times.len()), (4, 1, 4), "one event, each attempt with its own time");
        assert_eq!(elsewhere.count(), 0, "a redirect is not followed");
        assert!(!all[0].verifies("whsec_AAAA") && !secret.is_empty());
    }

    async fn what_nobody_took_for_a_day_is_a_dead_letter_that_can_be_sent_again(vault: TestVault) {
        let (vault, operator) = started(vault).await;
        let app = vault.app("acme").await;
        let receiver = Receiver::start().await;
        receiver.answer(&[503; 9]);
        register(&operator, "acme", &receiver.url, CHANGED).await;
        app.create(generic("main", "CANARY")).await.unwrap();
        for count in 1..=9 {
            eventually("a failure", || async { health(&operator, "acme").await.consecutive_failures == count }).await;
            if let Some(pending) = deliveries(&operator, "acme", v1::EventDeliveryState::Pending).await.pop() {
                let next = pending.next_attempt_time.unwrap().seconds + 1 - vault.clock.now().seconds();
                vault.clock.advance(Duration::from_secs(next.try_into().unwrap()));
            }
        }
        let dead = deliveries(&operator, "acme", v1::EventDeliveryState::Dead).await;
        assert_eq!((dead.len(), dead[0].attempts, dead[0].last_failure.as_str()), (1, 9, "status 503"));
        assert!(dead[0].next_attempt_time.is_none());
        assert!(vault.metrics().await.contains(r#"credvault_event_deliveries_total{outcome="dead"}"#));
        vault.clock.advance(DAY);
        again(&operator, &dead[0]).await.unwrap();
        got(&receiver, 10).await;
        assert_eq!(receiver.received()[9].id(), dead[0].event_id);
        eventually("success", || async { health(&operator, "acme").await.consecutive_failures == 0 }).await;
        assert!(deliveries(&operator, "acme", v1::EventDeliveryState::Dead).await.is_empty());
    }

    async fn a_receiver_that_is_gone_gets_nothing_until_it_is_registered_again(vault: TestVault) {
        let (vault, operator) = started(vault).await;
        let app = vault.app("acme").await;
        let receiver = Receiver::start().await;
        receiver.answer(&[410]);
        let (id, _) = register(&operator, "acme", &receiver.url, CHANGED).await;
        let connection = app.create(generic("main", "CANARY")).await.unwrap();
        let disabled = v1::EventEndpointState::Disabled;
        eventually("an end", || async { health(&operator, "acme").await.state() == disabled }).await;
        app.put(&connection.id, "CANARY").await.unwrap();
        let dead = deliveries(&operator, "acme", v1::EventDeliveryState::Unspecified).await;
        assert!(dead.len() == 1 && dead[0].state() == v1::EventDeliveryState::Dead);
        let refused = again(&operator, &dead[0]).await.unwrap_err();
        assert!(refusal(&refused) == "FailedPrecondition STATE_INVALID" && refused.message().contains("PutEventEndpoint"));
        let test = v1::TestEventEndpointRequest { tenant_id: "acme".into(), endpoint_id: id.clone() };
        let tested = operator.admin().test_event_endpoint(test).await.unwrap().into_inner();
        assert!(tested.delivered && receiver.types().contains(&"endpoint.test".to_owned()), "{tested:?}");
        let enable = v1::PutEventEndpointRequest { endpoint_id: id, ..endpoint("acme", &receiver.url) };
        let enabled = operator.admin().put_event_endpoint(enable).await.unwrap().into_inner();
        assert!(enabled.secret.is_empty() && enabled.endpoint.unwrap().state() == v1::EventEndpointState::Enabled);
        app.put(&connection.id, "CANARY").await.unwrap();
        got(&receiver, 3).await;
    }

    async fn a_repeated_request_gives_the_secret_that_it_made_and_no_later_one(vault: TestVault) {
        let operator = vault.client("operator").await;
        vault.tenant("acme").await;
        let put = async |request: v1::PutEventEndpointRequest| operator.admin().put_event_endpoint(request).await.unwrap().into_inner();
        let id = |last: char| format!("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6{last}");
        let create = v1::PutEventEndpointRequest { request_id: id('a'), ..endpoint("acme", "https://events.invalid/") };
        let first = put(create.clone()).await;
        assert!(first.secret.starts_with("whsec_"));
        assert_eq!(put(create.clone()).await.secret, first.secret);
        let rotate = |last: char| v1::PutEventEndpointRequest {
            request_id: id(last), endpoint_id: first.endpoint.clone().unwrap().id, rotate_secret: true, ..endpoint("acme", "https://events.invalid/")
        };
        let second = put(rotate('b')).await;
        assert_ne!(second.secret, first.secret);
        assert_eq!(put(rotate('b')).await.secret, second.secret);
        assert_eq!(put(create.clone()).await.secret, "", "its own is not the current one any more");
        put(rotate('c')).await;
        assert_eq!(put(rotate('b')).await.secret, "");
    }

    async fn while_a_secret_changes_both_sign(vault: TestVault) {
        let (vault, operator) = started(vault).await;
        vault.tenant("acme").await;
        let app = lasting(&vault, "app").await.acting_for("acme", None);
        let receiver = Receiver::start().await;
        let (id, first) = register(&operator, "acme", &receiver.url, CHANGED).await;
        let rotate = v1::PutEventEndpointRequest { endpoint_id: id.clone(), rotate_secret: true, ..endpoint("acme", &receiver.url) };
        let stored = operator.admin().put_event_endpoint(rotate).await.unwrap().into_inner();
        assert!(!format!("{stored:?}").contains("whsec_") && stored.endpoint.unwrap().previous_secret_expire_time.is_some());
        let connection = app.create(generic("main", "CANARY")).await.unwrap();
        got(&receiver, 2).await;
        let event = receiver.received().remove(0);
        assert_eq!(event.headers["webhook-signature"].split(' ').count(), 2);
        assert!(event.verifies(&first) && event.verifies(&stored.secret) && first != stored.secret);
        vault.clock.advance(DAY);
        app.put(&connection.id, "CANARY").await.unwrap();
        got(&receiver, 3).await;
        assert_eq!(receiver.received()[2].headers["webhook-signature"].split(' ').count(), 1);
    }

    async fn one_receiver_that_does_not_answer_holds_up_nobody(vault: TestVault) {
        let (vault, operator) = started(vault).await;
        let app = vault.app("acme").await;
        let (silent, prompt) = (Receiver::start().await, Receiver::start().await);
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_send_each_event_once() {
    let (mut vault, operator) = started(TestVault::prepared(Some(postgres_database().await)).await).await;
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
    assert_eq!((receiver.count(), ids.len()), (80, 40));
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_endpoint_is_said_with_field_rule_and_way_out() {
    // Without broker.allowed_networks.
    let vault = TestVault::sqlite().await;
    let operator = vault.client("operator").await;
    vault.tenant("acme").await;
    let put =
        async |request| operator.admin().put_event_endpoint(request).await.map(tonic::Response::into_inner);
    let long = format!("https://app.test/{}", "x".repeat(2048));
    for (url, rule) in [
        ("", "must be given"),
        ("events", "https://app.example/events"),
        (&long, "2,048"),
        ("http://app.test/events", "must begin with https://"),
        ("https://user:CANARY@app.test/", "no user name"),
        ("https://app.test/#CANARY", "no fragment"),
        ("https://10.0.0.1/CANARY", "broker.allowed_networks"),
        ("https://[::1]/CANARY", "broker.allowed_networks"),
        ("https://2130706433/CANARY", "broker.allowed_networks"),
        ("https://localhost/CANARY", "broker.allowed_networks"),
        ("https://app.test:22/CANARY", "the port 443"),
        ("ftp://app.test/", "must begin with https://"),
    ] {
        let wrong = put(endpoint("acme", url)).await.unwrap_err();
        assert_eq!(refusal(&wrong), "InvalidArgument FIELDS_INVALID", "{url}");
        assert!(wrong.message().contains("url must") && wrong.message().contains(rule), "{wrong:?}");
        assert!(!format!("{wrong:?}").contains("CANARY"), "{wrong:?}");
    }
    let good = endpoint("acme", "https://app.test/events");
    let types = vec!["CANARY".to_owned()];
    let description = "x".repeat(257);
    let endpoint_id = "CANARY".to_owned();
    let wrong = put(v1::PutEventEndpointRequest { types, description, endpoint_id, ..good.clone() })
        .await
        .unwrap_err();
    for part in ["types must be some of connection.connected", "description must", "endpoint_id must"] {
        assert!(wrong.message().contains(part) && !wrong.message().contains("CANARY"), "{wrong:?}");
    }
    for _ in 0..16 {
        put(good.clone()).await.unwrap();
    }
    let full = put(good.clone()).await.unwrap_err();
    assert_eq!(refusal(&full), "ResourceExhausted QUOTA_EXCEEDED");
    assert!(full.message().contains("DeleteEventEndpoint"), "{full:?}");
}

/// A name may lead anywhere: that shows when it is called, and gives nothing away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_leads_to_no_allowed_address_is_not_called() {
    let networks = vec!["10.0.0.0/8".to_owned()];
    let vault = TestVault::sqlite_with(|settings, _| settings.broker.allowed_networks = networks).await;
    let operator = vault.client("operator").await;
    let (id, _) = register(&operator, "", "https://localhost:8443/events", &[]).await;
    let test = v1::TestEventEndpointRequest { endpoint_id: id, ..Default::default() };
    let tested = operator.admin().test_event_endpoint(test).await.unwrap().into_inner();
    assert!(!tested.delivered && tested.failure.contains("broker.allowed_networks"), "{tested:?}");
}

/// Whoever administers one tenant only has no say over another's events, nor over the platform's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platforms_endpoints_want_the_right_to_administer_the_platform() {
    let vault = TestVault::sqlite().await;
    vault.tenant("acme").await;
    vault.tenant("other").await;
    let admin = vault.client("acme-admin").await.admin();
    for (tenant, answer) in [("acme", "Ok"), ("other", "PermissionDenied"), ("", "PermissionDenied")] {
        let request = endpoint(tenant, "https://app.test/events");
        let said = admin.clone().put_event_endpoint(request).await;
        assert_eq!(said.map_or_else(|status| format!("{:?}", status.code()), |_| "Ok".to_owned()), answer);
    }
}
