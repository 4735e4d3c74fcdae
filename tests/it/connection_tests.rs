//! Tests of a credential that a caller asks for: the provider's answer, and what the vault keeps of it.

use std::time::Duration;

use credvault_proto::v1;
use credvault_simulator::{Refusal, Step};

use crate::harness::provider::{Connected, STRICT, begin, complete, connection_request, decide, state};
use crate::harness::{Client, VaultBuilder, by_id, input, refusal};
use crate::on_both;

async fn tested(app: &Client, id: &str) -> Result<v1::TestConnectionResponse, tonic::Status> {
    let request = v1::TestConnectionRequest { connection_id: id.to_owned() };
    Ok(app.connections().test_connection(request).await?.into_inner())
}

on_both![
    a_test_says_what_the_provider_says_and_is_remembered,
    a_value_that_the_provider_refuses_replaces_nothing,
];

async fn a_test_says_what_the_provider_says_and_is_remembered(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", 3600).await;
    let first = tested(&app, &id).await.unwrap();
    assert_eq!(first.outcome(), v1::TestOutcome::Works);
    assert_eq!(first.external_account_id, "shop-1");
    assert!(!first.account_changed);
    let connection = first.connection.unwrap();
    assert!(connection.last_verified_time.is_some());
    assert_eq!(connection.external_account_id, "shop-1");
    // The app was removed at the provider; a new consent mends it.
    connected.provider.revoke_account("shop-1");
    assert_eq!(tested(&app, &id).await.unwrap().outcome(), v1::TestOutcome::Refused);
    assert_eq!(state(&app, &id).await, (v1::ConnectionState::Error, "REAUTHORIZATION_REQUIRED".into()));
    let parameters = decide(&begin(&app, &id, "").await.authorization_url, "shop-1", "allow").await;
    complete(&app, &parameters, "").await.unwrap();
    assert_eq!(tested(&app, &id).await.unwrap().outcome(), v1::TestOutcome::Works);
    let fresh = app
        .create(v1::CreateConnectionRequest {
            auth_mode: "api_key".into(),
            credential: Some(input(&[("key", "sim_key_shop-9")])),
            ..connection_request("key")
        })
        .await
        .unwrap();
    assert_eq!(tested(&app, &fresh.id).await.unwrap().external_account_id, "shop-9");
    let other = v1::PutCredentialRequest {
        connection_id: fresh.id.clone(),
        credential: Some(input(&[("key", "sim_key_shop-10")])),
        ..Default::default()
    };
    app.vault().put_credential(other).await.unwrap();
    let changed = tested(&app, &fresh.id).await.unwrap();
    assert!(changed.account_changed);
    assert_eq!(changed.connection.unwrap().external_account_id, "shop-9");
    // A provider that does not answer says nothing about the credential.
    let Connected { vault: _vault, provider } = connected;
    provider.stop().await;
    assert_eq!(refusal(&tested(&app, &fresh.id).await.unwrap_err()), "Unavailable PROVIDER_UNAVAILABLE");
    assert_eq!(state(&app, &fresh.id).await, (v1::ConnectionState::Connected, String::new()));
}

async fn a_value_that_the_provider_refuses_replaces_nothing(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let created = app
        .create(v1::CreateConnectionRequest {
            auth_mode: "api_key".into(),
            credential: Some(input(&[("key", "sim_key_shop-1")])),
            ..connection_request("key")
        })
        .await
        .unwrap();
    let put = |key: &str| v1::PutCredentialRequest {
        connection_id: created.id.clone(),
        credential: Some(input(&[("key", key)])),
        verify: true,
        ..Default::default()
    };
    let refused = app.vault().put_credential(put("CANARY revoked")).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID", "{refused:?}");
    assert!(!format!("{refused:?}").contains("CANARY"), "{refused:?}");
    assert_eq!(app.fetch(by_id(&created.id)).await.unwrap().fields["key"], "sim_key_shop-1");
    app.vault().put_credential(put("sim_key_shop-2")).await.unwrap();
    assert_eq!(app.fetch(by_id(&created.id)).await.unwrap().fields["key"], "sim_key_shop-2");
    // The test before it is stored is remembered like one of TestConnection: so is the account, and later another one.
    let found = async || {
        let request = v1::GetConnectionRequest { connection_id: created.id.clone() };
        let found = app.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap();
        assert!(found.last_verified_time.is_some(), "{found:?}");
        [found.external_account_id, found.confirmed_account_id, found.found_account_id]
    };
    assert_eq!(found().await, ["shop-2", "shop-2", ""]);
    app.vault().put_credential(put("sim_key_shop-3")).await.unwrap();
    assert_eq!(found().await, ["shop-2", "shop-3", "shop-3"]);
    assert!(tested(&app, &created.id).await.unwrap().account_changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_whose_refresh_cannot_be_asked_says_nothing_of_the_connection() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let tokens = connected.provider.issue("shop-1", &["read"]);
    let id = app.create(connection_request("main")).await.unwrap().id;
    // The access token was withdrawn alone.
    let fields = [("access_token", "no token of the provider's"), ("refresh_token", &tokens.refresh_token)];
    let put = v1::PutCredentialRequest {
        connection_id: id.clone(),
        credential: Some(input(&fields)),
        ..Default::default()
    };
    app.vault().put_credential(put).await.unwrap();
    for step in [
        Step::Fail { status: 503, after_effect: false },
        Step::Throttle { retry_after: credvault_simulator::RetryAfter::Seconds(1) },
        Step::Refuse(Refusal::InvalidClient),
    ] {
        connected.provider.behave(|behaviour| behaviour.steady = step.clone());
        assert!(tested(&app, &id).await.is_err(), "{step:?}");
        assert_eq!(state(&app, &id).await, (v1::ConnectionState::Connected, String::new()), "{step:?}");
    }
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    connected.vault.clock.advance(Duration::from_secs(60));
    assert_eq!(tested(&app, &id).await.unwrap().outcome(), v1::TestOutcome::Works);
}
