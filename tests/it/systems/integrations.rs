//! "Integrations Module": organisations own accounts at marketplaces and global integrations. Its document is played from
//! the first heading to the last.
//!
//! "Overview" and "Key Files": what two controllers and two models did is asked of the vault's services here. [`accounts`]
//! plays "Data Models", "Endpoints" and "Tool Required Integrations", [`ads`] plays "Amazon Ads OAuth Flow" and
//! "Environment Variables", [`moved_in`] brings the stored rows along, and "Issues Found" has a test for each finding:
//! [`findings_fixed`] for those that the module's team mended, [`findings_skipped`] for those that it skipped.

mod accounts;
mod ads;
mod findings_fixed;
mod findings_skipped;
mod moved_in;

use credvault_proto::v1;
use credvault_simulator::Rotation;
use tonic::Status;

use crate::browser::{ORIGIN, begin, complete};
use crate::harness::browser::{Browser, Seen};
use crate::harness::provider::{Connected, STRICT, app_request};
use crate::harness::{Client, VaultBuilder};

/// The vault's own address in place of `/integrations/ads/callback`.
const CALLBACK: &str = "/oauth/callback/amazon_ads";
const SESSION: &str = "session-1";
const AMAZON_ADS: &str = include_str!("../../../crates/credvault-catalog/providers/amazon_ads.toml");

/// The catalog's own file of Amazon Ads, with the simulator, whose tokens begin in another way, in place of Amazon.
fn ads_file() -> String {
    let file = AMAZON_ADS
        .replace("https://{derived.login_host}/ap/oa", "PROVIDER_URL/authorize")
        .replace("https://{derived.token_host}/auth/o2/token", "PROVIDER_URL/token")
        .replace("https://{derived.api_host}/v2/profiles", "PROVIDER_URL/me")
        .replace("https://{derived.api_host}", "PROVIDER_URL")
        .replace(r"'^Atza\|.+$'", "'^.+$'")
        .replace(r"'^Atzr\|.+$'", "'^.+$'");
    assert!(!file.contains("https://{"), "a call would leave this machine");
    file
}

fn settings(pairs: &[(&str, &str)]) -> Option<prost_types::Struct> {
    let value = |(name, value): &(&str, &str)| ((*name).to_owned(), prost_types::Value::from(*value));
    Some(prost_types::Struct { fields: pairs.iter().map(value).collect() })
}

/// An account of the organisation, without a credential.
fn account(provider: &str, mode: &str, name: &str, config: &[(&str, &str)]) -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest {
        owner: Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() }),
        provider: provider.to_owned(),
        account_name: name.to_owned(),
        auth_mode: mode.to_owned(),
        config: settings(config),
        ..Default::default()
    }
}

/// A token that ends in an hour, so that the vault has no reason to call the provider.
fn for_an_hour(fields: &[(&str, &str)]) -> v1::CredentialInput {
    let hour = prost_types::Duration { seconds: 3600, nanos: 0 };
    v1::CredentialInput {
        expiry: Some(v1::credential_input::Expiry::Ttl(hour)),
        ..crate::harness::input(fields)
    }
}

async fn get(app: &Client, id: &str) -> Result<v1::Connection, Status> {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    Ok(app.connections().get_connection(request).await?.into_inner().connection.unwrap())
}

async fn listed(app: &Client) -> Vec<v1::Connection> {
    let request = v1::ListConnectionsRequest::default();
    app.connections().list_connections(request).await.unwrap().into_inner().connections
}

async fn disconnect(app: &Client, id: &str) -> v1::Connection {
    let request = v1::DisconnectConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    app.connections().disconnect_connection(request).await.unwrap().into_inner().connection.unwrap()
}

async fn delete(app: &Client, id: &str) -> v1::Connection {
    let request = v1::DeleteConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    app.connections().delete_connection(request).await.unwrap().into_inner().connection.unwrap()
}

/// A vault with Amazon Ads, an organisation's back end, and the browser of a person who works there.
struct Ads {
    connected: Connected,
    app: Client,
    browser: Browser,
}

impl Ads {
    /// Without the platform's app at Amazon.
    async fn without_app(builder: VaultBuilder) -> Self {
        let connected = builder.provider_file("amazon_ads", &ads_file()).start_with_provider(STRICT).await;
        connected.provider.behave(|behaviour| behaviour.rotation = Rotation::Never);
        let app = connected.vault.app("acme").await;
        let browser = Browser::of(&connected);
        Self { connected, app, browser }
    }

    async fn start(builder: VaultBuilder) -> Self {
        let ads = Self::without_app(builder).await;
        let request = v1::PutOAuthAppRequest {
            provider: "amazon_ads".into(),
            redirect_uri: String::new(),
            ..app_request()
        };
        ads.connected.vault.client("operator").await.admin().put_o_auth_app(request).await.unwrap();
        ads
    }

    /// The id of a new account without a credential.
    async fn account(&self, name: &str) -> String {
        self.app.create(account("amazon_ads", "oauth2_code", name, &[("region", "na")])).await.unwrap().id
    }

    /// What the popup shows after the owner has allowed access at Amazon.
    async fn returned(&mut self, id: &str) -> Seen {
        let begun = begin(&self.app, id, ORIGIN, SESSION).await;
        let back = self.browser.allow(&begun).await;
        self.browser.get(CALLBACK, &back).await
    }

    /// The id of a new account that is connected.
    async fn consented(&mut self, name: &str) -> String {
        let id = self.account(name).await;
        let result = self.returned(&id).await.data("result");
        complete(&self.app, &result, SESSION).await.unwrap();
        id
    }

    /// How many codes Amazon was asked to exchange.
    fn exchanges(&self) -> u64 {
        self.connected.provider.counts().exchanges
    }
}
