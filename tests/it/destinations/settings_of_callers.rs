//! Settings that callers send: a destination changes with its secret only.

use credvault_proto::v1;

use super::{Shop, settings};
use crate::harness::provider::{STRICT, connection_request, decide};
use crate::harness::{Client, VaultBuilder, by_id, eventually, input, owned_by, refusal};
use crate::on_both;

on_both![
    a_destination_moves_with_its_secret_only,
    what_was_tried_at_one_host_is_not_stored_for_another,
    an_account_that_a_caller_claims_saves_no_grant,
];

async fn a_destination_moves_with_its_secret_only(builder: VaultBuilder) {
    let shop = Shop::start(builder).await;
    assert_eq!(shop.test().await.unwrap(), v1::TestOutcome::Works);
    let moved = shop.update(settings(&[("host", &shop.evil_host)])).await.unwrap_err();
    assert_eq!(refusal(&moved), "InvalidArgument FIELDS_INVALID");
    assert!(moved.message().contains("PutCredential"), "{moved:?}");
    assert!(!moved.message().contains(&shop.evil_host), "{moved:?}");
    // What decides no destination changes without the secret, and the secret is still good.
    shop.update(settings(&[("host", &shop.honest), ("note", "two")])).await.unwrap();
    assert_eq!(shop.app.fetch(by_id(&shop.id)).await.unwrap().fields["key"], "sim_key_shop-1");
    assert_eq!(shop.test().await.unwrap(), v1::TestOutcome::Works);
    // With a secret of its own the connection goes anywhere; the one before is not to be had there.
    shop.put("CANARY other key", Some(settings(&[("host", &shop.evil_host)])), false).await.unwrap();
    let _ = shop.test().await;
    let received = shop.evil.received();
    assert!(!received.is_empty());
    assert!(received.iter().all(|request| request.headers["x-api-key"] == "CANARY other key"));
    let back =
        v1::RollbackCredentialRequest { connection_id: shop.id.clone(), version: 1, ..Default::default() };
    assert_eq!(
        refusal(&shop.app.vault().rollback_credential(back).await.unwrap_err()),
        "NotFound VERSION_NOT_FOUND"
    );
    let put = shop.app.events().await.into_iter().find(|event| event.action == "PutCredential").unwrap();
    let hosts = format!("host: {} -> {}", shop.honest, shop.evil_host);
    assert!(put.changed_fields.contains(&hosts), "{put:?}");
}

async fn what_was_tried_at_one_host_is_not_stored_for_another(builder: VaultBuilder) {
    let shop = Shop::start(builder).await;
    let destroy = v1::DestroyCredentialVersionRequest {
        connection_id: shop.id.clone(),
        version: 1,
        ..Default::default()
    };
    shop.app.vault().destroy_credential_version(destroy).await.unwrap();
    let provider = &shop.connected.provider;
    let asked = provider.counts().tests;
    provider.behave(|behaviour| behaviour.hold = true);
    let moved = async {
        eventually("the provider is asked", || async { provider.counts().tests > asked }).await;
        // Without a credential, the settings may lead elsewhere.
        shop.update(settings(&[("host", &shop.evil_host)])).await.unwrap();
        provider.behave(|behaviour| behaviour.hold = false);
    };
    let (put, ()) = tokio::join!(shop.put("sim_key_shop-1", None, true), moved);
    assert_eq!(refusal(&put.unwrap_err()), "Aborted ETAG_MISMATCH");
    let stored = shop.app.fetch(by_id(&shop.id)).await.unwrap_err();
    assert_eq!(refusal(&stored), "NotFound CREDENTIAL_NOT_CONFIGURED");
    shop.update(settings(&[("host", &shop.honest)])).await.unwrap();
    shop.put("sim_key_shop-1", None, true).await.unwrap();
    assert_eq!(shop.test().await.unwrap(), v1::TestOutcome::Works);
}

async fn an_account_that_a_caller_claims_saves_no_grant(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    connected.vault.tenant("acme").await;
    let app = connected.vault.client("app").await;
    let alice = app.acting_for("acme", Some("alice"));
    let mallory = app.acting_for("acme", Some("mallory"));
    let consented = async |client: &Client, user: &str, account: &str| {
        let id = client.create(owned_by(user, connection_request(account))).await.unwrap().id;
        let begin = v1::BeginAuthorizationRequest { connection_id: id.clone(), ..Default::default() };
        let begun = client.connections().begin_authorization(begin).await.unwrap().into_inner();
        let parameters = decide(&begun.authorization_url, "shop-1", "allow").await;
        let complete = v1::CompleteAuthorizationRequest { parameters, ..Default::default() };
        client.connections().complete_authorization(complete).await.unwrap().into_inner().connection.unwrap()
    };
    let mine = consented(&alice, "alice", "mine").await;
    assert_eq!(mine.confirmed_account_id, "shop-1");
    // Another user claims the account with an invalid token, and even has a grant of its own.
    let claim = v1::CreateConnectionRequest {
        external_account_id: "shop-1".into(),
        credential: Some(input(&[("access_token", "junk"), ("refresh_token", "junk")])),
        ..owned_by("mallory", connection_request("claimed"))
    };
    let claimed = mallory.create(claim).await.unwrap();
    assert_eq!(claimed.external_account_id, "shop-1");
    assert_eq!(claimed.confirmed_account_id, "");
    consented(&mallory, "mallory", "own").await;
    let disconnect = v1::DisconnectConnectionRequest { connection_id: mine.id.clone(), ..Default::default() };
    let gone = alice.connections().disconnect_connection(disconnect).await.unwrap().into_inner();
    assert_eq!(
        gone.connection.unwrap().revocation(),
        v1::Revocation::Done,
        "another user's claim does not count"
    );
}

/// Places that are no public ones are refused when they are stored: callers would be handed them as base URLs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_lead_to_no_public_place_are_not_stored() {
    let vault = VaultBuilder::sqlite().start().await;
    let app = vault.app("acme").await;
    let create = async |url: &str| {
        let request = v1::CreateConnectionRequest {
            account_name: format!("of {}", url.len()),
            auth_mode: "bearer".into(),
            config: Some(settings(&[("base_url", url)])),
            credential: None,
            ..crate::harness::generic("x", "CANARY")
        };
        app.create(request).await
    };
    for url in [
        "https://127.0.0.1",
        "https://10.1.2.3/api",
        "https://[::1]:8443",
        "https://[fec0::1]",
        "https://169.254.169.254",
        "https://localhost",
        "https://localhost:8443/x",
        "https://metadata.google.internal",
        "https://x.svc.cluster.local",
        "https://router",
        "https://shop.example:22",
        r"https://shop.example\@evil.example",
        "https:shop.example",
    ] {
        let refused = create(url).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID", "{url}");
        assert!(refused.message().contains("config.base_url must"), "{refused:?}");
    }
    let stored = create("https://Shop.Example:443/api/").await.unwrap();
    assert_eq!(stored.config.unwrap(), settings(&[("base_url", "https://shop.example/api")]));
}
