//! Connections that end: their keys end at the provider, where the vault can name them there.

use credvault_proto::v1;
use credvault_simulator::Revocation;

use super::{FIRST, OVERLAP, ended, first_key, rotate, served, settled, standing, started};
use crate::harness::provider::connection_request;
use crate::harness::{Client, VaultBuilder, input};
use crate::on_both;

on_both![
    a_disconnection_ends_the_key_that_serves_and_those_that_wait,
    a_key_is_ended_with_itself_where_the_one_that_serves_may_not,
    a_key_of_another_account_does_not_hide_that_one_lives,
    a_disconnection_keeps_a_key_that_another_connection_serves,
    a_key_that_was_ended_before_is_no_failure,
];

async fn disconnect(app: &Client, id: &str) -> v1::Connection {
    let request = v1::DisconnectConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    app.connections().disconnect_connection(request).await.unwrap().into_inner().connection.unwrap()
}

async fn a_disconnection_ends_the_key_that_serves_and_those_that_wait(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let provider = &connected.provider;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    rotate(&app, &id).await.unwrap();
    let new = served(&app, &id).await;
    assert!(provider.has_key(&new) && provider.has_key(FIRST));
    assert_eq!(disconnect(&app, &id).await.revocation(), v1::Revocation::Done);
    assert!(!provider.has_key(&new));
    ended(&connected, FIRST).await;

    // Without its id, and where the file has no call that names a key, it stays, and the answer says so.
    for mode in ["api_key", "rolled", "by_hand"] {
        let unnamed = v1::CreateConnectionRequest {
            provider: "minter".into(),
            auth_mode: mode.into(),
            credential: Some(input(&[("key", "sim_key_shop-2")])),
            ..connection_request(mode)
        };
        let id = app.create(unnamed).await.unwrap().id;
        assert_eq!(disconnect(&app, &id).await.revocation(), v1::Revocation::Unsupported, "{mode}");
        assert!(provider.has_key("sim_key_shop-2"));
    }
}

async fn a_key_is_ended_with_itself_where_the_one_that_serves_may_not(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let provider = &connected.provider;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    rotate(&app, &id).await.unwrap();
    let new = served(&app, &id).await;
    let keys = provider.made_keys("shop-1");
    let [key] = &keys[..] else { panic!("not one") };
    let delete = reqwest::Client::new().delete(format!("{}/keys/{key}", provider.url()));
    delete.header("x-api-key", FIRST).send().await.unwrap();
    assert!(!provider.has_key(&new) && provider.has_key(FIRST));
    connected.vault.clock.advance(OVERLAP);
    ended(&connected, FIRST).await;
    settled(&app, &id).await;
    assert_eq!(standing(&app, &id).await.left_key_time, None);
}

async fn a_key_of_another_account_does_not_hide_that_one_lives(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let provider = &connected.provider;
    provider.behave(|behaviour| behaviour.revocation = Revocation::RefusesUnknown);
    let id = app.create(first_key("api_key")).await.unwrap().id;
    rotate(&app, &id).await.unwrap();
    let put = v1::PutCredentialRequest {
        connection_id: id.clone(),
        credential: Some(input(&[("key", "sim_key_shop-2"), ("key_id", "shop-2")])),
        ..Default::default()
    };
    app.vault().put_credential(put).await.unwrap();
    connected.vault.clock.advance(OVERLAP);
    // The account of the key that serves has no such key. With itself, it is found.
    ended(&connected, FIRST).await;
    settled(&app, &id).await;
    assert!(provider.made_keys("shop-1").is_empty(), "the vault has made that one, and it serves no more");
    assert!(provider.has_key("sim_key_shop-2"));
    assert_eq!(standing(&app, &id).await.left_key_time, None);
}

async fn a_disconnection_keeps_a_key_that_another_connection_serves(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let provider = &connected.provider;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    let copy = v1::CreateConnectionRequest { account_name: "copy".into(), ..first_key("api_key") };
    let copy = app.create(copy).await.unwrap().id;
    assert_eq!(disconnect(&app, &id).await.revocation(), v1::Revocation::Kept);
    assert!(provider.has_key(FIRST));
    assert_eq!(disconnect(&app, &copy).await.revocation(), v1::Revocation::Done);
    assert!(!provider.has_key(FIRST));
}

async fn a_key_that_was_ended_before_is_no_failure(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let provider = &connected.provider;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    let delete = reqwest::Client::new().delete(format!("{}/keys/shop-1", provider.url()));
    delete.header("x-api-key", FIRST).send().await.unwrap();
    assert!(!provider.has_key(FIRST));
    assert_eq!(disconnect(&app, &id).await.revocation(), v1::Revocation::Done);

    // An id that is not the key's does not say that the key is dead.
    provider.behave(|behaviour| behaviour.revocation = Revocation::RefusesUnknown);
    let wrong = v1::CreateConnectionRequest {
        account_name: "wrong".into(),
        credential: Some(input(&[("key", "sim_key_shop-2"), ("key_id", "shop-3")])),
        ..first_key("api_key")
    };
    let id = app.create(wrong).await.unwrap().id;
    assert_eq!(disconnect(&app, &id).await.revocation(), v1::Revocation::Pending);
    assert!(provider.has_key("sim_key_shop-2"));
}
