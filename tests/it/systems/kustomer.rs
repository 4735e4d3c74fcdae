//! "Multi-User Kustomer OAuth Integration - Complete Setup Guide", from the first heading of the document to the last: users
//! connect their own organisations by OAuth, its services get fresh tokens, administrators see all of it, and what it had stored moves in. Comments name the
//! document's sections in quotes. The provider is the simulator, in the shape of the catalog's own Kustomer.
//!
//! - `setup`: "Overview", "Key Benefits", "Setup Instructions", "User Authentication Flow".
//! - `requests`: the rest of "How It Works", "Configuration Options", "For End Users", "Monitoring Dashboard".
//! - `oversight`: "For Administrators", "Security Features", "Track These Metrics", "Success Metrics".
//! - `troubles`: "Production Deployment", "Troubleshooting".
//! - `migration`: "Migration from API Key Integration", "API Reference", "Ready for Production!".

mod migration;
mod oversight;
mod requests;
mod setup;
mod troubles;

use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, CLIENT_SECRET};
use serde_json::Value;
use tonic::Status;

use crate::harness::provider::{Connected, STRICT, begin, complete, decide};
use crate::harness::{Client, TestVault, VaultBuilder, by_provider};

/// The key of "Environment Configuration", under which the rows of the import are sealed.
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// "Configure Redirect URIs": for production, for development, and the vault's own.
const REDIRECTS: [&str; 3] = [
    "https://your-domain.com/auth/kustomer/callback",
    "http://localhost:5173/auth/kustomer/callback",
    "http://localhost:7480/oauth/callback/kustomer",
];

/// "Set Required Scopes", which are the "OAuth Scopes Available", too.
const SCOPES: [&str; 7] = [
    "customers:read",
    "customers:write",
    "conversations:read",
    "conversations:write",
    "messages:write",
    "notes:write",
    "teams:read",
];

/// The browser's session in which a user consents.
const SESSION: &str = "CANARY session";

/// The catalog's Kustomer with the simulator's addresses and accounts. Keys may be tokens of the simulator, so that it
/// knows them.
fn provider_file() -> String {
    include_str!("../../../crates/credvault-catalog/providers/kustomer.toml")
        .replace("https://{config.org}.api.kustomerapp.com", "PROVIDER_URL")
        .replace("https://{config.org}.kustomerapp.com", "PROVIDER_URL")
        .replace("/oauth/authorize", "/authorize")
        .replace("/oauth/token", "/token")
        .replace("/v1/users/current", "/me")
        .replace("data.relationships.org.data.id", "id")
        .replace("data.attributes.email", "name")
        .replace("'^eyJ[", "'^(eyJ|sim_)[")
}

/// A vault that knows the provider, with the tenant `acme` and the variables of "Environment Configuration".
async fn started(builder: VaultBuilder) -> Connected {
    let connected = builder.provider_file("kustomer", &provider_file()).start_with_provider(STRICT).await;
    connected.vault.tenant("acme").await;
    let variables = format!(
        "# Kustomer OAuth Configuration\nVITE_KUSTOMER_CLIENT_ID={CLIENT_ID}\nKUSTOMER_CLIENT_SECRET={CLIENT_SECRET}\n\
         VITE_APP_URL=https://your-domain.com\nVITE_SUPABASE_URL=https://CANARY.supabase.example\n\
         VITE_SUPABASE_ANON_KEY=CANARY\nSUPABASE_SERVICE_ROLE_KEY=CANARY\nENCRYPTION_KEY={KEY}\n"
    );
    connected.vault.write(".env", &variables);
    let counts = import(&connected.vault, "operator", &["env", "--from", ".env"]).await;
    assert_eq!(counts["created"], 1, "{counts}");
    connected
}

/// Runs `credvault import` as a service, and gives what it counted. It shows no secret.
async fn import(vault: &TestVault, service: &str, arguments: &[&str]) -> Value {
    let run = vault.import(service, &[("ENCRYPTION_KEY", KEY)], arguments).await;
    for secret in ["sim_", CLIENT_SECRET, KEY] {
        assert!(!run.shown.contains(secret), "{}", run.shown);
    }
    assert_eq!(run.code, 0, "{}", run.shown);
    run.counts
}

/// "Create OAuth Application in Kustomer", and in the vault: the secret is stored already, so it is not sent again.
async fn register(connected: &Connected, redirect_uri: &str) -> v1::OAuthApp {
    connected.provider.behave(|behaviour| behaviour.redirect_uris = REDIRECTS.map(str::to_owned).to_vec());
    let request = v1::PutOAuthAppRequest {
        provider: "kustomer".into(),
        client_id: CLIENT_ID.into(),
        redirect_uri: redirect_uri.to_owned(),
        default_scopes: SCOPES.map(str::to_owned).to_vec(),
        ..Default::default()
    };
    let operator = connected.vault.client("operator").await;
    operator.admin().put_o_auth_app(request).await.unwrap().into_inner().app.unwrap()
}

/// The back end of the front end, acting for a user whose own and shared connections are all that it reaches.
async fn user(connected: &Connected, id: &str) -> Client {
    connected.vault.client("portal").await.acting_for("acme", Some(id))
}

/// The service that calls Kustomer, acting for a user of a chat.
async fn service(connected: &Connected, id: &str) -> Client {
    connected.vault.client("app").await.acting_for("acme", Some(id))
}

/// A connection of the calling user to an organisation.
fn organisation(name: &str) -> v1::CreateConnectionRequest {
    let org = prost_types::Value::from(name.to_lowercase());
    v1::CreateConnectionRequest {
        provider: "kustomer".into(),
        account_name: name.to_owned(),
        auth_mode: "oauth2_code".into(),
        config: Some(prost_types::Struct { fields: [("org".to_owned(), org)].into() }),
        ..Default::default()
    }
}

/// Consents for an organisation; the back end owns the redirect URI.
async fn consent(user: &Client, id: &str, organisation: &str) -> Result<v1::Connection, Status> {
    let begun = begin(user, id, SESSION).await;
    let back = decide(&begun.authorization_url, organisation, "allow").await;
    complete(user, &back, SESSION).await
}

/// A new connection of the user, with a consent.
async fn connect(user: &Client, name: &str) -> v1::Connection {
    let id = user.create(organisation(name)).await.unwrap().id;
    consent(user, &id, name).await.unwrap()
}

async fn get(client: &Client, id: &str) -> v1::Connection {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    client.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap()
}

/// The names of the user's accounts.
async fn accounts(client: &Client) -> Vec<String> {
    let request = v1::ListConnectionsRequest { provider: "kustomer".into(), ..Default::default() };
    let listed = client.connections().list_connections(request).await.unwrap().into_inner().connections;
    listed.into_iter().map(|connection| connection.account_name).collect()
}

async fn tested(client: &Client, id: &str) -> v1::TestConnectionResponse {
    let request = v1::TestConnectionRequest { connection_id: id.to_owned() };
    client.connections().test_connection(request).await.unwrap().into_inner()
}

async fn refreshed(client: &Client, id: &str) -> Result<v1::Connection, Status> {
    let request = v1::RefreshConnectionRequest { connection_id: id.to_owned() };
    Ok(client.connections().refresh_connection(request).await?.into_inner().connection.unwrap())
}

async fn disconnected(client: &Client, id: &str) -> v1::Connection {
    let request = v1::DisconnectConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    client.connections().disconnect_connection(request).await.unwrap().into_inner().connection.unwrap()
}

/// `switchConnection`: makes the connection the user's current one, and gives the name of what is fetched then.
async fn switched(user: &Client, id: &str) -> String {
    let request = v1::SetDefaultConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    user.connections().set_default_connection(request).await.unwrap();
    user.fetch(by_provider("kustomer")).await.unwrap().account_name
}

/// Reports calls, errors and rate-limit hits of a connection by endpoint, and says whether they were counted before.
async fn report(client: &Client, number: u128, id: &str, items: &[(&str, [i64; 3])]) -> bool {
    let item = |&(endpoint, [calls, errors, rate_limit_hits]): &(&str, [i64; 3])| v1::UsageItem {
        connection_id: id.to_owned(),
        endpoint: endpoint.to_owned(),
        calls,
        errors,
        rate_limit_hits,
        ..Default::default()
    };
    let request = v1::ReportUsageRequest {
        request_id: uuid::Uuid::from_u128(number).to_string(),
        items: items.iter().map(item).collect(),
    };
    client.connections().report_usage(request).await.unwrap().into_inner().counted_before
}

/// `getApiUsageStats(30)`: sums over 30 days.
async fn usage(client: &Client, group: v1::UsageGroup) -> v1::GetUsageResponse {
    let filter = v1::UsageFilter { provider: "kustomer".into(), ..Default::default() };
    let request =
        v1::GetUsageRequest { filter: Some(filter), group_by: vec![group.into()], ..Default::default() };
    client.connections().get_usage(request).await.unwrap().into_inner()
}
