//! "Backend Credential Storage System - Complete Implementation" of a KPI ETL platform, played from its first heading to
//! its last: "Files Created/Modified" name the parts, and each function here names what it shows. This is the scene: Clerk's tokens, the server that bears them, and the four "Supported Services", whose files are the shipped ones
//! with the simulator at the other end.

mod audit;
mod credentials;
mod errors;
mod isolation;
mod moving_in;
mod services;

use credvault::settings::IssuerSection;
use credvault_domain::Clock as _;
use credvault_proto::v1;
use credvault_testkit::{Algorithm, TokenIssuer};
use serde_json::{Value, json};

use crate::harness::provider::{Connected, STRICT, app_request};
use crate::harness::{Client, VaultBuilder, input};

const ISSUER: &str = "https://clerk.kpi.test";
const APP: &str = "https://app.kpi.test";
const RSA: &str = include_str!("../../../crates/credvault-crypto/tests/keys/rsa_pkcs8.pem");
/// The e-mail address of the service account.
const ROBOT: &str = "etl@kpi.example";

macro_rules! shipped {
    ($name:literal) => {
        include_str!(concat!("../../../crates/credvault-catalog/providers/", $name, ".toml"))
    };
}

/// The four under "Supported Services".
const PROVIDERS: [(&str, &str); 4] = [
    ("google_sheets", shipped!("google_sheets")),
    ("meta", shipped!("meta")),
    ("google_analytics", shipped!("google_analytics")),
    ("shopify", shipped!("shopify")),
];

/// In what the simulator differs from the providers: where it is, what its tokens look like, and how it answers.
const AT_THE_SIMULATOR: [(&str, &str); 15] = [
    ("https://oauth2.googleapis.com/tokeninfo", "PROVIDER_URL/me"),
    ("https://oauth2.googleapis.com", "PROVIDER_URL"),
    ("https://analyticsadmin.googleapis.com/v1beta/accountSummaries", "PROVIDER_URL/me"),
    ("https://analyticsdata.googleapis.com/v1beta", "PROVIDER_URL"),
    ("https://sheets.googleapis.com/v4", "PROVIDER_URL"),
    ("account_id = \"azp\"", "account_id = \"id\""),
    ("https://graph.facebook.com/{config.api_version}/oauth/access_token", "PROVIDER_URL/token"),
    ("https://graph.facebook.com/{config.api_version}", "PROVIDER_URL"),
    ("'^EAA[A-Za-z0-9]+$'", "'^(EAA|sim_access_)[A-Za-z0-9]+$'"),
    ("rejected = [{ path = \"error.code\", one_of = [190, 102] }]", "rejected = [{ status = 401 }]"),
    ("'^shp(at|ca|pa)_[A-Za-z0-9_]+$'", "'^(shp(at|ca|pa)|sim_access)_[A-Za-z0-9_]+$'"),
    ("https://{config.shop}/admin/api/{config.api_version}/graphql.json", "PROVIDER_URL/me"),
    (
        "json = { query = \"{{ shop {{ id name myshopifyDomain }} }}\" }",
        "headers = { X-Simulator-Token = \"{secret.access_token}\" }",
    ),
    ("\"data.shop.myshopifyDomain\"", "\"id\""),
    ("path = \"data.shop.id\"", "path = \"id\""),
];

fn at_the_simulator(file: &str) -> String {
    AT_THE_SIMULATOR.iter().fold(file.to_owned(), |file, (theirs, ours)| file.replace(*theirs, ours))
}

/// A vault with a provider, and the platform's server in front of it.
struct Etl {
    connected: Connected,
    clerk: TokenIssuer,
    /// What the document calls the "Express.js Server". It may do nothing without a token of a user.
    server: Client,
}

impl Etl {
    /// "Architecture Overview", "src/server/app.ts": the server keeps no credential and no key; the vault is behind it.
    /// "Configuration Required": CLERK_PUBLIC_KEY is a JWKS, and ENCRYPTION_KEY_SALT and REDIS_URL are gone.
    async fn start(builder: VaultBuilder) -> Self {
        let clerk = TokenIssuer::new(Algorithm::Rs256, "ins_1");
        let builder = PROVIDERS
            .iter()
            .fold(builder, |builder, (id, file)| builder.provider_file(id, &at_the_simulator(file)));
        let builder = builder.file("jwks.json", &clerk.jwks()).settings(|settings, folder| {
            settings.identity.issuers.push(IssuerSection {
                name: "clerk".into(),
                issuer: ISSUER.into(),
                jwks_file: Some(folder.join("jwks.json")),
                audience_claim: "azp".into(),
                audiences: vec![APP.into()],
                tenant_claim: "o.id".into(),
                ..IssuerSection::default()
            });
        });
        let connected = builder.start_with_provider(STRICT).await;
        for tenant in ["acme", "beta"] {
            connected.vault.tenant(tenant).await;
        }
        let operator = connected.vault.client("operator").await;
        for provider in ["google_analytics", "meta"] {
            let app = v1::PutOAuthAppRequest { provider: provider.into(), ..app_request() };
            operator.admin().put_o_auth_app(app).await.unwrap();
        }
        let server = connected.vault.client("gateway").await;
        Self { connected, clerk, server }
    }

    /// The claims of a token as Clerk makes it.
    fn claims(&self, user: &str, organisation: &str) -> Value {
        let now = self.connected.vault.clock.now().seconds();
        json!({
            "azp": APP, "exp": now + 60, "fva": [1, -1], "iat": now, "iss": ISSUER, "nbf": now - 10,
            "o": { "id": organisation, "rol": "admin", "slg": "inc" }, "sid": "sess_1", "sub": user, "v": 2,
        })
    }

    /// The server with the token of a user of the organisation `acme`.
    fn user(&self, user: &str) -> Client {
        self.user_of(user, "acme")
    }

    fn user_of(&self, user: &str, organisation: &str) -> Client {
        self.server.bearing(&self.clerk.token(&self.claims(user, organisation)))
    }

    /// A token that the provider knows as an account's.
    fn issued(&self, account: &str) -> String {
        self.connected.provider.issue(account, &["read"]).access_token
    }

    /// "Supported Services": service account JSON, access token, refresh token, API access token.
    fn of_each_service(&self) -> [v1::CreateConnectionRequest; 4] {
        let tokens = self.connected.provider.issue("property-1", &["read"]);
        let ga4 = [
            ("access_token", tokens.access_token.as_str()),
            ("refresh_token", tokens.refresh_token.as_str()),
        ];
        [
            sheets("reports"),
            saving("meta", "system_user_token", "Ads", &[], &[("access_token", &self.issued("ads-1"))]),
            saving("google_analytics", "oauth2_code", "Site", &[("property_id", "123")], &ga4),
            shop("Main", &self.issued("shop-1")),
        ]
    }
}

/// A request to save a credential for the user of the call.
fn saving(
    provider: &str,
    mode: &str,
    account: &str,
    config: &[(&str, &str)],
    secrets: &[(&str, &str)],
) -> v1::CreateConnectionRequest {
    let fields = config.iter().map(|(name, value)| ((*name).to_owned(), prost_types::Value::from(*value)));
    v1::CreateConnectionRequest {
        provider: provider.to_owned(),
        account_name: account.to_owned(),
        auth_mode: mode.to_owned(),
        config: Some(prost_types::Struct { fields: fields.collect() }),
        credential: Some(input(secrets)),
        ..Default::default()
    }
}

fn shop(account: &str, token: &str) -> v1::CreateConnectionRequest {
    saving("shopify", "access_token", account, &[("shop", "acme.myshopify.com")], &[("access_token", token)])
}

fn sheets(account: &str) -> v1::CreateConnectionRequest {
    let key = key_file().to_string();
    saving("google_sheets", "service_account", account, &[], &[("service_account", &key)])
}

/// The key of a service account as Google's console gives it.
fn key_file() -> Value {
    json!({
        "type": "service_account", "project_id": "kpi", "private_key_id": "CANARY", "private_key": RSA,
        "client_email": ROBOT,
    })
}

async fn get(client: &Client, id: &str) -> Result<v1::Connection, tonic::Status> {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    Ok(client.connections().get_connection(request).await?.into_inner().connection.unwrap())
}

async fn listed(client: &Client, show_deleted: bool) -> Vec<v1::Connection> {
    let request = v1::ListConnectionsRequest { show_deleted, ..Default::default() };
    client.connections().list_connections(request).await.unwrap().into_inner().connections
}

async fn verified(client: &Client, id: &str) -> Result<v1::TestConnectionResponse, tonic::Status> {
    let request = v1::TestConnectionRequest { connection_id: id.to_owned() };
    Ok(client.connections().test_connection(request).await?.into_inner())
}

async fn deleted(client: &Client, id: &str) -> Result<v1::DeleteConnectionResponse, tonic::Status> {
    let request = v1::DeleteConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    Ok(client.connections().delete_connection(request).await?.into_inner())
}

/// An update of a shop's token. Without `verify`, the provider is not asked.
async fn updated(
    client: &Client,
    id: &str,
    token: &str,
    verify: bool,
) -> Result<v1::CredentialVersion, tonic::Status> {
    let request = v1::PutCredentialRequest {
        connection_id: id.to_owned(),
        credential: Some(input(&[("access_token", token)])),
        verify,
        ..Default::default()
    };
    Ok(client.vault().put_credential(request).await?.into_inner().version.unwrap())
}
