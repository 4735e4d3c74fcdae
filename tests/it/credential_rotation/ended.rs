//! Connections that end: their keys end at the provider, where the vault can name them there.

use credvault_proto::v1;

use super::{FIRST, OVERLAP, ended, first_key, rotate, served, settled, standing, started};
use crate::harness::provider::connection_request;
use crate::harness::{Client, VaultBuilder, input};
use crate::on_both;

on_both![
    a_disconnection_ends_the_key_that_serves_and_those_that_wait,
    a_key_is_ended_with_itself_where_the_one_that_serves_may_not,
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
