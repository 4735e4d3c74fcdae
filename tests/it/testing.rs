//! Stored credentials are tested once in a while, without anybody asking.

use credvault_proto::v1;

use crate::harness::provider::{Connected, STRICT, connection_request};
use crate::harness::{Client, VaultBuilder, eventually, input};
use crate::on_both;

/// As if a day had passed, which the certificates would not survive.
async fn due(connected: &Connected) {
    connected.vault.sql("UPDATE connections SET test_time = 1").await;
}

fn key(account: &str) -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest {
        auth_mode: "api_key".into(),
        credential: Some(input(&[("key", &format!("sim_key_{account}"))])),
        ..connection_request(account)
    }
}

async fn get(app: &Client, id: &str) -> v1::Connection {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    app.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap()
}

/// The limit on forced refreshes is for callers: the vault's own tests use none of it up.
#[tokio::test]
async fn the_vaults_own_tests_leave_callers_their_refreshes() {
    let builder =
        VaultBuilder::sqlite().settings(|settings, _| settings.broker.forced_refreshes_per_minute = 1);
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let tokens = connected.provider.issue("shop-1", &["read"]);
    let fields = [("access_token", "no token of the provider's"), ("refresh_token", &tokens.refresh_token)];
    let create =
        v1::CreateConnectionRequest { credential: Some(input(&fields)), ..connection_request("shop-1") };
    let id = app.create(create).await.unwrap().id;
    due(&connected).await;
    eventually("a test that refreshes", || async { get(&app, &id).await.last_verified_time.is_some() }).await;
    assert_eq!(connected.provider.counts().refreshes, 1);
    let refresh = v1::RefreshConnectionRequest { connection_id: id.clone() };
    app.connections().refresh_connection(refresh.clone()).await.unwrap();
    let more = app.connections().refresh_connection(refresh).await.unwrap_err();
    assert_eq!(crate::harness::refusal(&more), "ResourceExhausted RATE_LIMITED");
}

on_both![
    a_withdrawn_key_and_a_foreign_one_show_before_a_caller_needs_them,
    of_several_replicas_one_makes_a_test,
];

async fn a_withdrawn_key_and_a_foreign_one_show_before_a_caller_needs_them(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(key("shop-1")).await.unwrap().id;
    assert!(get(&app, &id).await.last_verified_time.is_none());
    due(&connected).await;
    eventually("a first test", || async { get(&app, &id).await.last_verified_time.is_some() }).await;
    assert_eq!(get(&app, &id).await.external_account_id, "shop-1");

    // A caller stores the key of another account.
    let credential = Some(input(&[("key", "sim_key_shop-2")]));
    let put = v1::PutCredentialRequest { connection_id: id.clone(), credential, ..Default::default() };
    app.vault().put_credential(put).await.unwrap();
    due(&connected).await;
    eventually("the other account", || async { get(&app, &id).await.found_account_id == "shop-2" }).await;
    let credential = Some(input(&[("key", "sim_key_shop-1")]));
    let put = v1::PutCredentialRequest { connection_id: id.clone(), credential, ..Default::default() };
    app.vault().put_credential(put).await.unwrap();
    assert_eq!(get(&app, &id).await.found_account_id, "");

    // The key does not work any more; then it does again.
    let credential = Some(input(&[("key", "no key of the provider's")]));
    let put = v1::PutCredentialRequest { connection_id: id.clone(), credential, ..Default::default() };
    app.vault().put_credential(put).await.unwrap();
    due(&connected).await;
    eventually("the refusal", || async { get(&app, &id).await.state() == v1::ConnectionState::Error }).await;
    let tests = app.events().await.into_iter().filter(|event| event.action == "TestConnection");
    let tests: Vec<_> = tests.collect();
    assert!(tests.len() >= 3);
    assert!(tests.iter().all(|event| event.service == "vault" && event.connection_id == id));
}

async fn of_several_replicas_one_makes_a_test(builder: VaultBuilder) {
    let mut connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let mut others = Vec::new();
    if connected.vault.database.is_some() {
        for _ in 0..2 {
            others.push(connected.vault.instance.take().unwrap());
            connected.vault.start().await;
        }
    }
    for i in 0..20 {
        app.create(key(&format!("shop-{i}"))).await.unwrap();
    }
    due(&connected).await;
    eventually("all tests", || async { connected.provider.counts().tests >= 20 }).await;
    // All replicas go on searching while these become due one after the other, so each has many chances to make a test
    // that another has made.
    for later in 0..5 {
        let account = format!("later-{later}");
        app.create(key(&account)).await.unwrap();
        let due = format!("UPDATE connections SET test_time = 1 WHERE account_name = '{account}'");
        connected.vault.sql(&due).await;
        eventually("a later test", || async { connected.provider.counts().tests > 20 + later }).await;
    }
    // A replica that stops first finishes the tests that it has begun.
    for other in others {
        other.stop().await;
    }
    connected.vault.stop().await;
    assert_eq!(connected.provider.counts().tests, 25);
}
