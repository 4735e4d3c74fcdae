//! Reports about stored keys, which are tested at the provider.

use std::time::Duration;

use credvault_proto::v1::{self, RejectionOutcome as Outcome};

use super::{newest, outcome, reporting, wait, with_key};
use crate::harness::provider::{Connected, STRICT, connection_request, state};
use crate::harness::{VaultBuilder, by_id, by_provider, generic, input, refusal};
use crate::on_both;

on_both![
    a_lie_about_a_key_changes_nothing_and_is_answered_from_one_test,
    a_dead_key_ends_its_connection_on_the_providers_word,
    an_outage_or_a_mode_without_a_test_says_nothing_of_a_key,
];

async fn a_lie_about_a_key_changes_nothing_and_is_answered_from_one_test(builder: VaultBuilder) {
    let builder = builder.settings(|settings, _| settings.broker.rejection_calls_per_minute = 3);
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = with_key(&app, "key", "sim_key_shop-1").await;
    let tag = app.fetch(by_id(&id)).await.unwrap().tag;
    let tests = || connected.provider.counts().tests;
    let first = app.fetch(reporting(&id, &tag)).await.unwrap();
    assert_eq!((outcome(&first), tests()), (Outcome::StillAccepted, 1));
    assert_eq!((first.tag.as_str(), first.fields["key"].as_str()), (tag.as_str(), "sim_key_shop-1"));
    assert!(first.rejection.unwrap().tested_time.is_some());
    let recorded = newest(&app, "FetchCredential").await;
    assert_eq!(recorded, (vec!["rejected_tag: STILL_ACCEPTED".into()], String::new()));
    let by_vault = app.events().await.into_iter().find(|event| event.action == "TestConnection").unwrap();
    assert_eq!((by_vault.service.as_str(), by_vault.connection_id.as_str()), ("vault", id.as_str()));
    for _ in 0..20 {
        let again = app.fetch(reporting(&id, &tag)).await.unwrap();
        assert_eq!(again.rejection, first.rejection, "the same answer of the provider");
    }
    assert_eq!(tests(), 1);
    // The pauses are over, but the service has used up its calls. Another service has not.
    for asked in [2, 3] {
        connected.vault.clock.advance(Duration::from_secs(100));
        assert_eq!(outcome(&app.fetch(reporting(&id, &tag)).await.unwrap()), Outcome::StillAccepted);
        assert_eq!(tests(), asked);
    }
    connected.vault.clock.advance(Duration::from_secs(1000));
    for _ in 0..3 {
        let limited = app.fetch(reporting(&id, &tag)).await.unwrap_err();
        assert_eq!(refusal(&limited), "ResourceExhausted RATE_LIMITED");
        assert!((1..=20).contains(&wait(&limited)), "{limited:?}");
    }
    assert_eq!(tests(), 3);
    let portal = connected.vault.client("portal").await.acting_for("acme", None);
    assert_eq!(outcome(&portal.fetch(reporting(&id, &tag)).await.unwrap()), Outcome::StillAccepted);
    assert_eq!(tests(), 4);
    assert_eq!(state(&app, &id).await, (v1::ConnectionState::Connected, String::new()));
}

async fn a_dead_key_ends_its_connection_on_the_providers_word(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = with_key(&app, "key", "CANARY withdrawn").await;
    let tag = app.fetch(by_id(&id)).await.unwrap().tag;
    let tests = || connected.provider.counts().tests;
    for _ in 0..5 {
        let dead = app.fetch(reporting(&id, &tag)).await.unwrap_err();
        assert_eq!(refusal(&dead), "FailedPrecondition REAUTHORIZATION_REQUIRED");
    }
    assert_eq!(tests(), 1);
    assert_eq!(state(&app, &id).await, (v1::ConnectionState::Error, "REAUTHORIZATION_REQUIRED".into()));
    // Without a report, it is served as before, and every answer says that the provider has refused it.
    let served = app.fetch(by_id(&id)).await.unwrap();
    assert_eq!((served.tag.as_str(), served.connection_state()), (tag.as_str(), v1::ConnectionState::Error));
    let error = served.connection_error.unwrap();
    assert!(error.reason == "REAUTHORIZATION_REQUIRED" && error.time.is_some(), "{error:?}");
    let put = v1::PutCredentialRequest {
        connection_id: id.clone(),
        credential: Some(input(&[("key", "sim_key_shop-1")])),
        ..Default::default()
    };
    app.vault().put_credential(put).await.unwrap();
    let mended = app.fetch(reporting(&id, &tag)).await.unwrap();
    assert_eq!((outcome(&mended), mended.version), (Outcome::Superseded, 2));
    assert_eq!(
        (mended.connection_state(), &mended.connection_error),
        (v1::ConnectionState::Connected, &None)
    );
    // What was found out about the key before does not hold for this one.
    assert_eq!(outcome(&app.fetch(reporting(&id, &mended.tag)).await.unwrap()), Outcome::StillAccepted);
    assert_eq!(tests(), 2);
    assert_eq!(state(&app, &id).await, (v1::ConnectionState::Connected, String::new()));

    // A key of the platform's that tenants share ends in the same way, for all of them and with one test.
    let operator = connected.vault.client("operator").await;
    let shared = v1::CreateConnectionRequest {
        owner: None,
        auth_mode: "api_key".into(),
        credential: Some(input(&[("key", "CANARY shared")])),
        ..connection_request("shared")
    };
    let shared = operator.create(shared).await.unwrap();
    for tenant in ["one", "two"] {
        let of_tenant = connected.vault.app(tenant).await;
        let tag = of_tenant.fetch(by_provider("simulator")).await.unwrap().tag;
        let report = v1::FetchCredentialRequest { rejected_tag: tag, ..by_provider("simulator") };
        let dead = of_tenant.fetch(report).await.unwrap_err();
        assert_eq!(refusal(&dead), "FailedPrecondition REAUTHORIZATION_REQUIRED");
    }
    assert_eq!(tests(), 3);
    assert_eq!(state(&operator, &shared.id).await.0, v1::ConnectionState::Error);
}

async fn an_outage_or_a_mode_without_a_test_says_nothing_of_a_key(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let without_test = app.create(generic("main", "CANARY")).await.unwrap();
    let tag = app.fetch(by_id(&without_test.id)).await.unwrap().tag;
    for _ in 0..20 {
        let again = app.fetch(reporting(&without_test.id, &tag)).await.unwrap();
        assert_eq!((outcome(&again), again.tag.as_str()), (Outcome::Unverifiable, tag.as_str()));
    }
    let id = with_key(&app, "key", "sim_key_shop-1").await;
    let tag = app.fetch(by_id(&id)).await.unwrap().tag;
    let disable = v1::UpdateConnectionRequest {
        connection: Some(v1::Connection { id: id.clone(), enabled: false, ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        ..Default::default()
    };
    app.connections().update_connection(disable.clone()).await.unwrap();
    let disabled = app.fetch(reporting(&id, &tag)).await.unwrap_err();
    assert_eq!(refusal(&disabled), "FailedPrecondition CONNECTION_DISABLED");
    let mut enable = disable;
    enable.connection.as_mut().unwrap().enabled = true;
    app.connections().update_connection(enable).await.unwrap();
    let Connected { vault, provider } = connected;
    assert_eq!(provider.counts().tests, 0);
    provider.stop().await;
    for seconds in [5, 5] {
        let unavailable = app.fetch(reporting(&id, &tag)).await.unwrap_err();
        assert_eq!(refusal(&unavailable), "Unavailable PROVIDER_UNAVAILABLE");
        assert!(wait(&unavailable) <= seconds, "{unavailable:?}");
    }
    assert_eq!(state(&app, &id).await, (v1::ConnectionState::Connected, String::new()));
    assert_eq!(vault.count("rejections WHERE finding = 'UNAVAILABLE' AND calls = 1").await, 1);
}
