//! A consent at a server with an app of the platform's, and what stays as it was then.

use std::time::Duration;

use credvault_proto::v1;
use serde_json::json;

use super::{app_at, apps, at_issuer, begin, finish, path_of, setting, vault};
use crate::harness::provider::state;
use crate::harness::{VaultBuilder, by_id, eventually, refusal};
use crate::on_both;

on_both![endpoints_stay_as_they_were_at_the_consent, a_callback_of_another_issuer_is_refused];

async fn endpoints_stay_as_they_were_at_the_consent(builder: VaultBuilder) {
    let connected = vault(builder).await;
    let (url, operator) = (connected.provider.url(), connected.vault.client("operator").await);
    let without = v1::PutOAuthAppRequest { settings: Default::default(), ..app_at(&url) };
    let refused = operator.admin().put_o_auth_app(without).await.unwrap_err();
    assert!(refused.message().contains("settings[issuer]"), "{refused:?}");
    operator.admin().put_o_auth_app(app_at(&url)).await.unwrap();
    operator.admin().put_o_auth_app(app_at("https://other.example/a")).await.unwrap();
    let all = apps(&connected, "").await;
    assert_eq!(all.len(), 2);
    assert_ne!(all[0].redirect_uri, all[1].redirect_uri, "no server can pass for another");
    let stored = all.iter().find(|app| app.settings["issuer"] == url).unwrap();

    let app = connected.vault.app("acme").await;
    let id = app.create(at_issuer("oauth2_code", &url, &[("api_url", &url)])).await.unwrap().id;
    let begun = begin(&app, &id).await.unwrap();
    let done = finish(&connected, &app, &begun, &path_of(stored), |_| {}).await.unwrap();
    assert_eq!(done.external_account_id, "shop-1", "the subject of the ID token");
    assert_eq!(setting(&done, "token_endpoint"), Some(format!("{url}/token")));
    assert_eq!(setting(&done, "userinfo_endpoint"), Some(format!("{url}/me")));
    assert_eq!(connected.provider.counts().registrations, 0, "there was an app");
    let tested = v1::TestConnectionRequest { connection_id: id.clone() };
    app.connections().test_connection(tested).await.unwrap();

    // A document that changes later moves no token, however old what was read is.
    connected.provider.behave(|behaviour| {
        behaviour.metadata.insert("token_endpoint".into(), json!("http://127.0.0.1:9/token"));
        behaviour.metadata.insert("revocation_endpoint".into(), json!("http://127.0.0.1:9/revoke"));
    });
    connected.vault.clock.advance(Duration::from_secs(3000));
    connected.chain_lives(&app, &id).await;
    let begun = begin(&app, &id).await.unwrap();
    let refused = finish(&connected, &app, &begun, &path_of(stored), |_| {}).await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable PROVIDER_UNAVAILABLE", "the code goes to the new address");
    connected.chain_lives(&app, &id).await;

    // No caller moves them by hand either.
    let moved = [("issuer", url.as_str()), ("token_endpoint", "http://127.0.0.1:9/token")];
    let update = |settings: &[(&str, &str)]| v1::UpdateConnectionRequest {
        connection: Some(v1::Connection {
            id: id.clone(),
            config: Some(super::config(settings)),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["config".into()] }),
        ..Default::default()
    };
    let refused = app.connections().update_connection(update(&moved)).await.unwrap_err();
    assert!(refused.message().contains("connection.config.token_endpoint"), "{refused:?}");
    let refused = app.connections().update_connection(update(&[("issuer", "https://other.example/a")])).await;
    assert!(refused.is_err(), "the issuer goes with its secret");
    let same = [("issuer", url.as_str()), ("api_url", url.as_str())];
    app.connections().update_connection(update(&same)).await.unwrap();
    assert_eq!(setting(&connection(&app, &id).await, "token_endpoint"), Some(format!("{url}/token")));

    let disconnect = v1::DisconnectConnectionRequest { connection_id: id.clone(), ..Default::default() };
    app.connections().disconnect_connection(disconnect).await.unwrap();
    let revoked = || async { connected.provider.families()[0].revoked };
    eventually("the revocation at the old address", revoked).await;
}

async fn connection(app: &crate::harness::Client, id: &str) -> v1::Connection {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    app.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap()
}

async fn a_callback_of_another_issuer_is_refused(builder: VaultBuilder) {
    let connected = vault(builder).await;
    let (url, operator) = (connected.provider.url(), connected.vault.client("operator").await);
    connected.provider.behave(|behaviour| behaviour.send_iss = true);
    let stored = operator.admin().put_o_auth_app(app_at(&url)).await.unwrap().into_inner().app.unwrap();
    let app = connected.vault.app("acme").await;
    let id = app.create(at_issuer("oauth2_code", &url, &[("api_url", &url)])).await.unwrap().id;
    for iss in [None, Some("https://other.example")] {
        let begun = begin(&app, &id).await.unwrap();
        let change = |parameters: &mut std::collections::BTreeMap<String, String>| match iss {
            Some(iss) => drop(parameters.insert("iss".into(), iss.into())),
            None => drop(parameters.remove("iss")),
        };
        let refused = finish(&connected, &app, &begun, &path_of(&stored), change).await.unwrap_err();
        assert!(refused.message().contains("parameters[iss]"), "{refused:?}");
    }
    // An ID token of another issuer or for another app names no account here.
    for (claim, value) in [("iss", "https://other.example"), ("aud", "other")] {
        let claims = [(claim.to_owned(), json!(value))].into_iter().collect();
        connected.provider.behave(|behaviour| behaviour.id_token = Some(claims));
        let begun = begin(&app, &id).await.unwrap();
        let refused = finish(&connected, &app, &begun, &path_of(&stored), |_| {}).await.unwrap_err();
        assert!(refused.message().contains("id_token"), "{refused:?}");
    }
    assert_eq!(connected.vault.count("credential_versions").await, 0);
    connected.provider.behave(|behaviour| behaviour.id_token = None);
    let begun = begin(&app, &id).await.unwrap();
    finish(&connected, &app, &begun, &path_of(&stored), |_| {}).await.unwrap();
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connected);
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
}
