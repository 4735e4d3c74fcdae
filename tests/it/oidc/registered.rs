//! Apps that the vault registers by itself: once, sealed, used again, and anew only when the tenant wants that.

use credvault_proto::v1;
use serde_json::json;

use super::{apps, at_issuer, begin, finish, path_of, vault};
use crate::harness::provider::state;
use crate::harness::{Client, VaultBuilder, refusal};
use crate::on_both;

on_both![
    an_app_is_registered_once_and_anew_only_by_the_tenants_own_action,
    a_server_that_registers_no_app_needs_one_of_the_operators,
];

async fn an_app_is_registered_once_and_anew_only_by_the_tenants_own_action(builder: VaultBuilder) {
    let connected = vault(builder).await;
    let (url, app) = (connected.provider.url(), connected.vault.app("acme").await);
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        let request =
            v1::CreateConnectionRequest { account_name: name.into(), ..at_issuer("oauth2_code", &url, &[]) };
        ids.push(app.create(request).await.unwrap().id);
    }
    // All three need an app at once.
    let (a, b, c) = tokio::join!(begin(&app, &ids[0]), begin(&app, &ids[1]), begin(&app, &ids[2]));
    assert_eq!(connected.provider.counts().registrations, 1);
    assert!(apps(&connected, "").await.is_empty(), "it is the tenant's own");
    let all = apps(&connected, "acme").await;
    assert_eq!((all.len(), all[0].settings["issuer"].as_str()), (1, url.as_str()));
    assert!(!format!("{all:?}").contains("CANARY"), "{all:?}");
    for (id, begun) in ids.iter().zip([a, b, c]) {
        finish(&connected, &app, &begun.unwrap(), &path_of(&all[0]), |_| {}).await.unwrap();
        assert_eq!(state(&app, id).await.0, v1::ConnectionState::Connected);
    }
    // The server prefers keys, so the app has one and no secret.
    let proofs = connected.provider.client_assertions().len();
    refresh(&app, &ids[0]).await.unwrap();
    assert_eq!(connected.provider.client_assertions().len(), proofs + 1);

    // The server forgets the app. Neither a refresh nor a consent registers another one by itself.
    connected.provider.forget_clients();
    let refused = refresh(&app, &ids[0]).await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable PROVIDER_UNAVAILABLE", "{refused:?}");
    begin(&app, &ids[0]).await.unwrap();
    assert_eq!(connected.provider.counts().registrations, 1);
    let delete = v1::DeleteOAuthAppRequest {
        tenant_id: "acme".into(),
        provider: "oidc".into(),
        server: url.clone(),
        ..Default::default()
    };
    let operator = connected.vault.client("operator").await;
    operator.admin().delete_o_auth_app(delete).await.unwrap();
    let begun = begin(&app, &ids[0]).await.unwrap();
    assert_eq!(connected.provider.counts().registrations, 2);
    let all = apps(&connected, "acme").await;
    finish(&connected, &app, &begun, &path_of(&all[0]), |_| {}).await.unwrap();
    refresh(&app, &ids[0]).await.unwrap();

    assert_eq!(connected.vault.count("client_registrations").await, 0);
}

/// A server that refuses says why, and another tenant has no app of the first one's.
async fn a_server_that_registers_no_app_needs_one_of_the_operators(builder: VaultBuilder) {
    let connected = vault(builder).await;
    let url = connected.provider.url();
    let other = connected.vault.app("other").await;
    let id = other.create(at_issuer("oauth2_code", &url, &[])).await.unwrap().id;
    connected.provider.behave(|behaviour| {
        behaviour.metadata.insert("registration_endpoint".into(), json!(format!("{url}/token")));
    });
    connected.vault.clock.advance(std::time::Duration::from_secs(601));
    let refused = begin(&other, &id).await.unwrap_err();
    assert!(refused.message().contains("PutOAuthApp"), "{refused:?}");
    connected.provider.behave(|behaviour| {
        behaviour.metadata.insert("registration_endpoint".into(), json!(null));
    });
    connected.vault.clock.advance(std::time::Duration::from_secs(601));
    let refused = begin(&other, &id).await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition STATE_INVALID", "{refused:?}");
    assert_eq!(connected.vault.count("client_registrations").await, 0);
}

async fn refresh(app: &Client, id: &str) -> Result<(), tonic::Status> {
    let request = v1::RefreshConnectionRequest { connection_id: id.to_owned() };
    app.connections().refresh_connection(request).await.map(drop)
}
