//! The document "Secure Marketplace Connection Management" of Fluxori, played from its first heading to its last.
//! This file has "Overview" and "Backend Components"; the others have what stands in the document around them.
//!
//! - `security`: "Security Implementation" in the vault's own way, and "Security Considerations".
//! - `moving_in`: its two ways to store move in; "Environment Variables", "Deployment Instructions".
//! - `callers`: "Frontend Components" and "Integration with Marketplace Adapters".
//!
//! "Testing the Implementation" asks for tests of services, controllers, endpoints and components: these are they,
//! over mTLS, and the review that it recommends is in `security`.

mod callers;
mod moving_in;
mod security;

use std::collections::BTreeSet;

use credvault_proto::v1;
use tonic::Status;

use crate::harness::provider::{Connected, STRICT, app_request};
use crate::harness::{Client, VaultBuilder, by_id, input, refusal};
use crate::on_both;

on_both![the_five_endpoints_answer];

const TAKEALOT: &str = include_str!("../../../crates/credvault-catalog/providers/takealot.toml");
const AMAZON: &str = include_str!("../../../crates/credvault-catalog/providers/amazon_sp_seller.toml");
const XERO: &str = include_str!("../../../crates/credvault-catalog/providers/xero.toml");

/// A key that the simulator takes for Takealot's.
const KEY: &str = "sim_key_takealot-CANARY";
/// The id of a private app at Amazon.
const LWA: &str = "amzn1.application-oa2-client.fedcba9876543210fedcba9876543210";

/// A vault with the catalog's own marketplaces, in place of whose servers the simulator answers. It takes a key in
/// the header `X-API-Key`. The platform has an app at Xero.
async fn started(builder: VaultBuilder) -> Connected {
    let takealot = TAKEALOT
        .replace("https://seller-api.takealot.com/v2/offers/count", "PROVIDER_URL/me")
        .replace("\"https://seller-api.takealot.com\"", "\"PROVIDER_URL\"")
        .replace("Authorization = \"Key {secret.api_key}\"", "X-API-Key = \"{secret.api_key}\"");
    let amazon = AMAZON.replace("https://api.amazon.com/auth/o2/token", "PROVIDER_URL/token");
    let test = |url: &str| format!("call = {{ url = \"{url}\" }}");
    let xero = XERO
        .replace(&test("https://api.xero.com/connections"), &test("PROVIDER_URL/me"))
        .replace("https://login.xero.com/identity/connect/authorize", "PROVIDER_URL/authorize")
        .replace("https://identity.xero.com/connect/token", "PROVIDER_URL/token")
        .replace("https://identity.xero.com/connect/revocation", "PROVIDER_URL/revoke")
        .replace("https://api.xero.com", "PROVIDER_URL");
    let builder = builder.provider_file("takealot", &takealot).provider_file("xero", &xero);
    let connected = builder.provider_file("amazon_sp_seller", &amazon).start_with_provider(STRICT).await;
    let app = v1::PutOAuthAppRequest { provider: "xero".into(), ..app_request() };
    connected.vault.client("operator").await.admin().put_o_auth_app(app).await.unwrap();
    connected
}

/// Fluxori's back end, acting for a user. It reaches what is this user's or the organisation's, and nothing else.
async fn user(connected: &Connected, organisation: &str, user: &str) -> Client {
    connected.vault.tenant(organisation).await;
    connected.vault.client("portal").await.acting_for(organisation, Some(user))
}

fn marketplace(
    provider: &str,
    auth_mode: &str,
    config: &[(&str, &str)],
    fields: &[(&str, &str)],
) -> v1::CreateConnectionRequest {
    let config = config.iter().map(|(name, value)| ((*name).to_owned(), prost_types::Value::from(*value)));
    v1::CreateConnectionRequest {
        provider: provider.to_owned(),
        auth_mode: auth_mode.to_owned(),
        config: Some(prost_types::Struct { fields: config.collect() }),
        credential: (!fields.is_empty()).then(|| input(fields)),
        ..Default::default()
    }
}

fn takealot(key: &str) -> v1::CreateConnectionRequest {
    marketplace("takealot", "seller_api", &[("seller_id", "29847")], &[("api_key", key)])
}

/// A private app, whose access token ends in an hour.
fn amazon() -> v1::CreateConnectionRequest {
    let config = [("region", "eu"), ("lwa_client_id", LWA)];
    let fields = [
        ("lwa_client_secret", "amzn1.oa2-cs.v1.CANARY"),
        ("refresh_token", "Atzr|CANARY"),
        ("access_token", "Atza|CANARY"),
    ];
    let hour = prost_types::Duration { seconds: 3600, nanos: 0 };
    let expiry = Some(v1::credential_input::Expiry::Ttl(hour));
    let credential = Some(v1::CredentialInput { expiry, ..input(&fields) });
    let without = marketplace("amazon_sp_seller", "self_authorized", &config, &[]);
    v1::CreateConnectionRequest { credential, ..without }
}

fn shopify() -> v1::CreateConnectionRequest {
    let fields = [("access_token", "shpat_CANARY0123456789")];
    marketplace("shopify", "access_token", &[("shop", "acme.myshopify.com")], &fields)
}

/// Without a credential: its owner consents.
fn xero() -> v1::CreateConnectionRequest {
    marketplace("xero", "oauth2_code", &[], &[])
}

async fn listed(client: &Client) -> Vec<v1::Connection> {
    let request = v1::ListConnectionsRequest::default();
    client.connections().list_connections(request).await.unwrap().into_inner().connections
}

async fn read(client: &Client, id: &str) -> Result<v1::Connection, Status> {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    Ok(client.connections().get_connection(request).await?.into_inner().connection.unwrap())
}

async fn tested(client: &Client, id: &str) -> Result<v1::TestConnectionResponse, Status> {
    let request = v1::TestConnectionRequest { connection_id: id.to_owned() };
    Ok(client.connections().test_connection(request).await?.into_inner())
}

async fn deleted(client: &Client, id: &str) -> Result<v1::DeleteConnectionResponse, Status> {
    let request = v1::DeleteConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    Ok(client.connections().delete_connection(request).await?.into_inner())
}

/// "Credentials are never exposed in API responses": there is none in any byte of this answer.
fn hides(answer: &impl prost::Message) {
    let bytes = answer.encode_to_vec();
    assert!(!bytes.windows(6).any(|window| window == b"CANARY"), "{}", String::from_utf8_lossy(&bytes));
}

/// Whether the marketplace accepts a request as the vault says that it must be.
async fn works(credential: &v1::Credential) -> bool {
    let auth = credential.request_auth.as_ref().unwrap();
    let mut request = reqwest::Client::new().get(format!("{}/me", auth.base_url));
    for (name, value) in &auth.headers {
        request = request.header(name.as_str(), value.as_str());
    }
    request.send().await.unwrap().status().is_success()
}

async fn the_five_endpoints_answer(builder: VaultBuilder) {
    let connected = started(builder).await;
    let portal = user(&connected, "acme", "u1").await;
    // "Overview": Takealot, Amazon, Shopify, Xero. "API Endpoints": "POST /api/connections".
    let mut made = Vec::new();
    for request in [takealot(KEY), amazon(), shopify(), xero()] {
        made.push(portal.create(request).await.unwrap());
    }
    they_have_what_the_model_had(&made);
    they_are_listed_and_read(&portal, &made).await;
    a_test_is_the_marketplaces_own_word(&connected, &portal, &made[0].id).await;
    a_deleted_one_is_gone(&connected, &portal, &made[0].id).await;
}

/// "Models": "MarketplaceConnection" with its metadata, "different authentication types (API key, OAuth, etc.)" and
/// status.
fn they_have_what_the_model_had(made: &[v1::Connection]) {
    let shown: Vec<_> =
        made.iter().map(|one| (one.provider.as_str(), one.auth_mode.as_str(), one.state())).collect();
    let has_one = v1::ConnectionState::Connected;
    let expected = [
        ("takealot", "seller_api", has_one),
        ("amazon_sp_seller", "self_authorized", has_one),
        ("shopify", "access_token", has_one),
        ("xero", "oauth2_code", v1::ConnectionState::Disconnected),
    ];
    assert_eq!(shown, expected);
    for one in made {
        assert_eq!(one.owner.as_ref().unwrap().user_id, "u1");
        hides(one);
    }
    // In place of "credential references", hints that a person recognises a key by.
    assert_eq!(made[2].hints["access_token"], "shpa…6789");
}

async fn they_are_listed_and_read(portal: &Client, made: &[v1::Connection]) {
    // "Services": "ConnectionService" lists. "GET /api/connections": all connections of the user.
    let all = listed(portal).await;
    let ids = |them: &[v1::Connection]| them.iter().map(|one| one.id.clone()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&all), ids(made));
    all.iter().for_each(hides);
    // "Models": "Stores status, last sync time".
    let report = v1::ReportSyncRequest {
        connection_id: made[2].id.clone(),
        resource: "orders".into(),
        status: v1::SyncStatus::Ok.into(),
        items_synced: 12,
        ..Default::default()
    };
    let synced = portal.connections().report_sync(report).await.unwrap().into_inner().state.unwrap();
    // "GET /api/connections/:id": its details.
    let shop = read(portal, &made[2].id).await.unwrap();
    hides(&shop);
    assert_eq!((&shop.provider, &shop.config), (&made[2].provider, &made[2].config));
    assert!(synced.success_time.is_some());
    assert_eq!(shop.last_synced_time, synced.success_time);
    assert_eq!(shop.sync_states, [synced]);
}

/// "POST /api/connections/:id/test", and the "error information" of "Models".
async fn a_test_is_the_marketplaces_own_word(connected: &Connected, portal: &Client, id: &str) {
    let accepted = tested(portal, id).await.unwrap();
    hides(&accepted);
    assert_eq!(accepted.outcome(), v1::TestOutcome::Works);
    assert!(accepted.connection.unwrap().last_verified_time.is_some());
    assert!(connected.provider.counts().tests > 0, "the marketplace was asked");
    // A second shop, whose key the seller has withdrawn.
    let old = v1::CreateConnectionRequest {
        account_name: "old shop".into(),
        ..takealot("CANARY of a withdrawn key")
    };
    let old = portal.create(old).await.unwrap().id;
    let refused = tested(portal, &old).await.unwrap();
    hides(&refused);
    assert_eq!(refused.outcome(), v1::TestOutcome::Refused);
    let broken = read(portal, &old).await.unwrap();
    assert_eq!(broken.state(), v1::ConnectionState::Error);
    assert_eq!(broken.error.unwrap().reason, "REAUTHORIZATION_REQUIRED");
    assert!(!broken.health.unwrap().last_error.unwrap().customer_text.is_empty());
    // "Services": "SecretManagerService" stores a credential. The marketplace is asked about it first.
    let put = v1::PutCredentialRequest {
        connection_id: old.clone(),
        credential: Some(input(&[("api_key", KEY)])),
        verify: true,
        ..Default::default()
    };
    portal.vault().put_credential(put).await.unwrap();
    let mended = read(portal, &old).await.unwrap();
    assert_eq!(mended.state(), v1::ConnectionState::Connected);
    assert!(mended.health.unwrap().last_error.unwrap().recover_time.is_some(), "the error stays known");
}

/// "DELETE /api/connections/:id" is a deletion that can be undone.
async fn a_deleted_one_is_gone(connected: &Connected, portal: &Client, id: &str) {
    let gone = deleted(portal, id).await.unwrap();
    hides(&gone);
    assert!(gone.connection.unwrap().purge_time.is_some());
    assert!(listed(portal).await.iter().all(|one| one.id != id));
    assert_eq!(refusal(&portal.fetch(by_id(id)).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
    // By mistake: it is undone for as long as it is not purged.
    let undelete = v1::UndeleteConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    portal.connections().undelete_connection(undelete).await.unwrap();
    assert_eq!(portal.fetch(by_id(id)).await.unwrap().fields["api_key"], KEY);
    deleted(portal, id).await.unwrap();
    let before = connected.vault.count("credential_versions").await;
    let purge = v1::PurgeConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    portal.connections().purge_connection(purge).await.unwrap();
    assert_eq!(connected.vault.count("credential_versions").await, before - 1, "nothing of it is left");
}
