//! Servers that tenants have chosen have no incident between them; a provider whose keys are only tested has.

use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, CLIENT_SECRET, Simulator};
use serde_json::json;

use super::{at_issuer, vault};
use crate::harness::provider::{Connected, connection_request};
use crate::harness::{Client, VaultBuilder, eventually, input};
use crate::on_both;

on_both![servers_of_tenants_have_no_incident_between_them_and_a_provider_of_keys_has];

/// A client at a server of the tenant's own choice.
async fn client_at(app: &Client, server: &Simulator) -> String {
    let methods = json!(["client_secret_post"]);
    server.behave(|behaviour| {
        behaviour.metadata.insert("token_endpoint_auth_methods_supported".into(), methods);
    });
    let mut create = at_issuer("oauth2_client_credentials", &server.url(), &[("client_id", CLIENT_ID)]);
    create.credential = Some(input(&[("client_secret", CLIENT_SECRET)]));
    app.create(create).await.unwrap().id
}

async fn key(app: &Client) -> String {
    let create = v1::CreateConnectionRequest {
        auth_mode: "api_key".into(),
        credential: Some(input(&[("key", "sim_key_CANARY")])),
        ..connection_request("key")
    };
    app.create(create).await.unwrap().id
}

async fn refreshed(app: &Client, id: &str) -> bool {
    let request = v1::RefreshConnectionRequest { connection_id: id.to_owned() };
    app.connections().refresh_connection(request).await.is_ok()
}

async fn incident(app: &Client, provider: &str) -> Option<v1::ProviderIncident> {
    let request = v1::GetProviderRequest { provider: provider.into() };
    app.connections().get_provider(request).await.unwrap().into_inner().provider.unwrap().incident
}

async fn health(app: &Client, id: &str) -> v1::ConnectionHealth {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    let got = app.connections().get_connection(request).await.unwrap().into_inner();
    got.connection.unwrap().health.unwrap()
}

async fn servers_of_tenants_have_no_incident_between_them_and_a_provider_of_keys_has(builder: VaultBuilder) {
    let connected = vault(builder).await;
    let apps = ["acme", "bolt", "crux"].map(|tenant| connected.vault.app(tenant));
    let apps = futures::future::join_all(apps).await;
    let well = client_at(&apps[0], &connected.provider).await;
    let (mut dead, mut keys) = (Vec::new(), Vec::new());
    for app in &apps {
        let server = Simulator::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let id = client_at(app, &server).await;
        server.stop().await;
        assert!(!refreshed(app, &id).await && !refreshed(app, &id).await);
        dead.push(id);
        keys.push(key(app).await);
    }
    assert!(refreshed(&apps[0], &well).await);

    // The provider of the keys is away. Nothing refreshes them, so only tests find out.
    let Connected { vault, provider } = connected;
    provider.stop().await;
    for (app, id) in apps.iter().zip(&keys) {
        for _ in 0..2 {
            let request = v1::TestConnectionRequest { connection_id: id.clone() };
            app.connections().test_connection(request).await.unwrap_err();
        }
    }
    eventually("the incident", || async { incident(&apps[0], "simulator").await.is_some() }).await;
    let of_key = health(&apps[1], &keys[1]).await;
    assert_eq!(of_key.state(), v1::HealthState::ProviderIncident);
    assert!(of_key.customer_text.contains("need not do anything"), "{of_key:?}");
    assert_eq!(of_key.last_error.unwrap().reason, "PROVIDER_UNAVAILABLE", "what the test has met");

    // All that was met before has been reported by now.
    assert_eq!(vault.count("provider_signals WHERE provider = 'oidc'").await, 0);
    assert!(incident(&apps[0], "oidc").await.is_none());
    assert_eq!(health(&apps[0], &well).await.state(), v1::HealthState::Ok);
    assert_ne!(health(&apps[2], &dead[2]).await.state(), v1::HealthState::ProviderIncident);
}
