//! Event endpoints: their secrets, their checks, and who may register them.

use credvault_proto::v1;

use super::{CHANGED, DAY, endpoint, got, lasting, register, started};
use crate::harness::receiver::Receiver;
use crate::harness::{VaultBuilder, generic, refusal};
use crate::on_both;

on_both![a_repeated_request_gives_the_secret_that_it_made_and_no_later_one, while_a_secret_changes_both_sign];

async fn a_repeated_request_gives_the_secret_that_it_made_and_no_later_one(builder: VaultBuilder) {
    let vault = builder.start().await;
    let operator = vault.client("operator").await;
    vault.tenant("acme").await;
    let put = async |request: v1::PutEventEndpointRequest| {
        operator.admin().put_event_endpoint(request).await.unwrap().into_inner()
    };
    let id = |last: char| format!("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6{last}");
    let create =
        v1::PutEventEndpointRequest { request_id: id('a'), ..endpoint("acme", "https://events.invalid/") };
    let first = put(create.clone()).await;
    assert!(first.secret.starts_with("whsec_"));
    assert_eq!(put(create.clone()).await.secret, first.secret);
    let rotate = |last: char| v1::PutEventEndpointRequest {
        request_id: id(last),
        endpoint_id: first.endpoint.clone().unwrap().id,
        rotate_secret: true,
        ..endpoint("acme", "https://events.invalid/")
    };
    let second = put(rotate('b')).await;
    assert_ne!(second.secret, first.secret);
    assert_eq!(put(rotate('b')).await.secret, second.secret);
    assert_eq!(put(create.clone()).await.secret, "", "its own is not the current one any more");
    put(rotate('c')).await;
    assert_eq!(put(rotate('b')).await.secret, "");
}

async fn while_a_secret_changes_both_sign(builder: VaultBuilder) {
    let (vault, operator) = started(builder).await;
    vault.tenant("acme").await;
    let app = lasting(&vault, "app").await.acting_for("acme", None);
    let receiver = Receiver::start().await;
    let (id, first) = register(&operator, "acme", &receiver.url, CHANGED).await;
    let rotate = v1::PutEventEndpointRequest {
        endpoint_id: id.clone(),
        rotate_secret: true,
        ..endpoint("acme", &receiver.url)
    };
    let stored = operator.admin().put_event_endpoint(rotate).await.unwrap().into_inner();
    assert!(!format!("{stored:?}").contains("whsec_"));
    assert!(stored.endpoint.unwrap().previous_secret_expire_time.is_some());
    let connection = app.create(generic("main", "CANARY")).await.unwrap();
    got(&receiver, 2).await;
    let event = receiver.received().remove(0);
    assert_eq!(event.headers["webhook-signature"].split(' ').count(), 2);
    assert!(event.verifies(&first));
    assert!(event.verifies(&stored.secret));
    assert_ne!(first, stored.secret);
    vault.clock.advance(DAY);
    app.put(&connection.id, "CANARY").await.unwrap();
    got(&receiver, 3).await;
    assert_eq!(receiver.received()[2].headers["webhook-signature"].split(' ').count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_endpoint_is_said_with_field_rule_and_way_out() {
    // Without broker.allowed_networks.
    let vault = VaultBuilder::sqlite().start().await;
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
        assert!(wrong.message().contains("url must"), "{wrong:?}");
        assert!(wrong.message().contains(rule), "{wrong:?}");
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
        assert!(wrong.message().contains(part), "{wrong:?}");
        assert!(!wrong.message().contains("CANARY"), "{wrong:?}");
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
    let vault = VaultBuilder::sqlite()
        .settings(|settings, _| settings.broker.allowed_networks = networks)
        .start()
        .await;
    let operator = vault.client("operator").await;
    let (id, _) = register(&operator, "", "https://localhost:8443/events", &[]).await;
    let test = v1::TestEventEndpointRequest { endpoint_id: id, ..Default::default() };
    let tested = operator.admin().test_event_endpoint(test).await.unwrap().into_inner();
    assert!(!tested.delivered, "{tested:?}");
    assert!(tested.failure.contains("broker.allowed_networks"), "{tested:?}");
}

/// An administrator of one tenant has no say over another's events, nor over the platform's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platforms_endpoints_want_the_right_to_administer_the_platform() {
    let vault = VaultBuilder::sqlite().start().await;
    vault.tenant("acme").await;
    vault.tenant("other").await;
    let admin = vault.client("acme-admin").await.admin();
    for (tenant, answer) in [("acme", "Ok"), ("other", "PermissionDenied"), ("", "PermissionDenied")] {
        let request = endpoint(tenant, "https://app.test/events");
        let said = admin.clone().put_event_endpoint(request).await;
        assert_eq!(said.map_or_else(|status| format!("{:?}", status.code()), |_| "Ok".to_owned()), answer);
    }
}
