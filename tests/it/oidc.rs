//! Servers that follow the standards and have no file: found by their issuer, registered at, consented to, refreshed,
//! revoked; and what of their metadata the vault does not take.

mod consented;
mod discovered;
mod incidents;
mod peer;
mod registered;

use std::collections::BTreeMap;

use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, CLIENT_SECRET};
use prost_types::value::Kind;

use crate::harness::browser::Browser;
use crate::harness::provider::{Connected, STRICT};
use crate::harness::{Client, VaultBuilder};

const FILE: &str = include_str!("../../crates/credvault-catalog/providers/oidc.toml");
const ORIGIN: &str = "https://app.example.com";

/// A vault that knows the shipped provider file, but for one thing: servers of this machine speak plain HTTP.
async fn vault(builder: VaultBuilder) -> Connected {
    let plain = "pattern = '^https?://[!-~]{1,2000}$'";
    let file = FILE.replace("type = \"https_url\"", plain).replace("'^https://", "'^https?://");
    let connected = builder.provider_file("oidc", &file).start_with_provider(STRICT).await;
    connected.provider.behave(|behaviour| behaviour.id_token = Some(serde_json::Map::new()));
    connected
}

/// A connection to the issuer, in the mode.
fn at_issuer(mode: &str, issuer: &str, more: &[(&str, &str)]) -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest {
        owner: Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() }),
        provider: "oidc".into(),
        account_name: format!("{mode} at {issuer}").chars().take(100).collect(),
        auth_mode: mode.into(),
        config: Some(config(&[&[("issuer", issuer)], more].concat())),
        ..Default::default()
    }
}

fn config(settings: &[(&str, &str)]) -> prost_types::Struct {
    let value = |text: &str| prost_types::Value { kind: Some(Kind::StringValue(text.to_owned())) };
    prost_types::Struct {
        fields: settings.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect(),
    }
}

/// A setting of a connection, if it is a text.
fn setting(connection: &v1::Connection, name: &str) -> Option<String> {
    let value = connection.config.as_ref()?.fields.get(name)?.kind.as_ref()?;
    if let Kind::StringValue(text) = value { Some(text.clone()) } else { None }
}

async fn begin(app: &Client, id: &str) -> Result<v1::BeginAuthorizationResponse, tonic::Status> {
    let request = v1::BeginAuthorizationRequest {
        connection_id: id.to_owned(),
        session: "session-1".to_owned(),
        return_origin: ORIGIN.to_owned(),
        ..Default::default()
    };
    Ok(app.connections().begin_authorization(request).await?.into_inner())
}

/// Walks through a consent that has begun, through the vault's own callback at `path`.
async fn finish(
    connected: &Connected,
    app: &Client,
    begun: &v1::BeginAuthorizationResponse,
    path: &str,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<v1::Connection, tonic::Status> {
    let mut browser = Browser::of(connected);
    let mut parameters = browser.allow(begun).await;
    change(&mut parameters);
    let page = browser.get(path, &parameters).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let request = v1::CompleteAuthorizationRequest {
        session: "session-1".to_owned(),
        result: page.data("result"),
        ..Default::default()
    };
    Ok(app.connections().complete_authorization(request).await?.into_inner().connection.unwrap())
}

/// The apps of the tenant, or of the platform, at servers.
async fn apps(connected: &Connected, tenant: &str) -> Vec<v1::OAuthApp> {
    let request = v1::ListOAuthAppsRequest { tenant_id: tenant.into(), ..Default::default() };
    let listed = connected.vault.client("operator").await.admin().list_o_auth_apps(request).await;
    listed.unwrap().into_inner().apps.into_iter().filter(|app| app.provider == "oidc").collect()
}

/// The path of an app's redirect URI, which is the vault's own.
fn path_of(app: &v1::OAuthApp) -> String {
    app.redirect_uri.strip_prefix("http://localhost:7480").unwrap().to_owned()
}

/// The platform's app at the issuer.
fn app_at(issuer: &str) -> v1::PutOAuthAppRequest {
    v1::PutOAuthAppRequest {
        provider: "oidc".into(),
        client_id: CLIENT_ID.into(),
        client_secret: CLIENT_SECRET.into(),
        settings: [("issuer".to_owned(), issuer.to_owned())].into(),
        ..Default::default()
    }
}
