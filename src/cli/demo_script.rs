//! The demo script of `dev` and `demo`: credentials are stored, fetched by a permitted service over mTLS, refused to another
//! service, and refused to another tenant. It calls the vault over the wire, like any client.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Context as _;
use credvault_domain::Random as _;
use serde_json::{Map, Value, json};
use tonic::Code;

use super::client::Client;
use super::failure::Failure;
use super::folder::{Folder, TENANT};
use super::lookup::all_connections;
use super::output::Output;
use super::rpcs::in_commands;
use crate::grpc::{code_name, reason_of, struct_of};
use credvault_proto::v1;

/// Another tenant, which must never see what is the first one's.
const OTHER_TENANT: &str = "globex";

/// Seeds what is missing and shows the four outcomes.
pub(super) async fn show(folder: &Folder, address: SocketAddr, output: &mut Output) -> Result<(), Failure> {
    let port = address.port();
    let operator = Client::connect(&folder.profile("operator", port)).await?;
    let app = Client::connect(&folder.profile("app", port)).await?;
    let reporter = Client::connect(&folder.profile("reporter", port)).await?;
    for tenant in [TENANT, OTHER_TENANT] {
        create_tenant(&operator, tenant).await?;
    }

    output.line::<Failure>(&format!("\n1. Stored for the tenant {TENANT}, sealed under its own key:"))?;
    let mut rows = Vec::new();
    for sample in samples()? {
        let connection = stored(&app, sample).await?;
        let hints =
            connection.hints.iter().map(|(field, hint)| format!("{field}={hint}")).collect::<Vec<_>>();
        rows.push(vec![connection.provider, connection.account_name, connection.id, hints.join(" ")]);
    }
    let headings = ["   PROVIDER", "ACCOUNT", "CONNECTION", "HINTS"];
    output.table_with_spare::<Failure>(&headings, 1, &indented(rows.clone()))?;

    output.line::<Failure>("\n2. Fetched over mTLS by spiffe://dev.local/app, which policy permits:")?;
    for row in &rows {
        let request = v1::FetchCredentialRequest { connection_id: row[2].clone(), ..Default::default() };
        let answer = app.vault().fetch_credential(request).await?.into_inner();
        output.line::<Failure>(&format!("   {}", summary(&answer.credential.unwrap_or_default())))?;
    }

    let shopify = v1::FetchCredentialRequest { connection_id: rows[0][2].clone(), ..Default::default() };
    output.line::<Failure>("\n3. Refused to another service, spiffe://dev.local/reporter:")?;
    refused(&reporter, shopify.clone(), Code::PermissionDenied, output).await?;

    output.line::<Failure>(&format!(
        "\n4. Refused to another tenant: the app again, for {OTHER_TENANT} this time:"
    ))?;
    refused(&app.acting_for(OTHER_TENANT)?, shopify, Code::NotFound, output).await
}

fn indented(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.into_iter()
        .map(|mut row| {
            row[0].insert_str(0, "   ");
            row
        })
        .collect()
}

async fn create_tenant(operator: &Client, id: &str) -> Result<(), Failure> {
    let request = v1::CreateTenantRequest { tenant_id: id.to_owned(), ..Default::default() };
    match operator.admin().create_tenant(request).await {
        Err(status) if status.code() != Code::AlreadyExists => Err(status.into()),
        _ => Ok(()),
    }
}

/// A credential as its provider gives it out.
struct Sample {
    provider: &'static str,
    auth_mode: &'static str,
    config: Map<String, Value>,
    fields: BTreeMap<String, String>,
}

/// A Shopify admin token, a WooCommerce key pair and a Klaviyo key: real shapes, random content. None of a kind that the
/// vault would renew: the provider would refuse it.
fn samples() -> anyhow::Result<[Sample; 3]> {
    let object = |value: Value| value.as_object().cloned().context("an object");
    let field = |name: &str, value: String| (name.to_owned(), value);
    Ok([
        Sample {
            provider: "shopify",
            auth_mode: "access_token",
            config: object(json!({ "shop": "demo-store.myshopify.com" }))?,
            fields: BTreeMap::from([field("access_token", format!("shpat_{}", hex(16)?))]),
        },
        Sample {
            provider: "woocommerce",
            auth_mode: "key_pair",
            config: object(json!({ "store_url": "https://shop.example.com" }))?,
            fields: BTreeMap::from([
                field("consumer_key", format!("ck_{}", hex(20)?)),
                field("consumer_secret", format!("cs_{}", hex(20)?)),
            ]),
        },
        Sample {
            provider: "klaviyo",
            auth_mode: "api_key",
            config: Map::new(),
            fields: BTreeMap::from([field("api_key", format!("pk_{}", hex(17)?))]),
        },
    ])
}

fn hex(bytes: usize) -> anyhow::Result<String> {
    let mut random = vec![0; bytes];
    credvault_crypto::SystemRandom.fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The tenant's connection of that provider, created with its credential if there is none.
async fn stored(app: &Client, sample: Sample) -> Result<v1::Connection, Failure> {
    let Sample { provider, auth_mode, config, fields } = sample;
    if let Some(connection) = all_connections(app, provider, false).await?.into_iter().next() {
        return Ok(connection);
    }
    let request = v1::CreateConnectionRequest {
        provider: provider.to_owned(),
        account_name: "main".to_owned(),
        auth_mode: auth_mode.to_owned(),
        config: Some(struct_of(&config)),
        credential: Some(v1::CredentialInput { fields, expiry: None }),
        ..Default::default()
    };
    let created = app.connections().create_connection(request).await?.into_inner();
    Ok(created.connection.context("the vault answered without a connection")?)
}

/// What a fetched credential is good for, without a secret.
fn summary(credential: &v1::Credential) -> String {
    let auth = credential.request_auth.clone().unwrap_or_default();
    let mut carries: Vec<String> = auth.headers.keys().map(|name| format!("header {name}")).collect();
    carries.extend(auth.query.keys().map(|name| format!("query {name}")));
    if carries.is_empty() {
        carries.extend(credential.fields.keys().map(|name| format!("field {name}")));
    }
    let (provider, version) = (&credential.provider, credential.version);
    format!("{provider}, version {version}: {} with {}", auth.base_url, carries.join(", "))
}

/// Shows that a fetch is refused, with the code that it must be refused with.
async fn refused(
    client: &Client,
    request: v1::FetchCredentialRequest,
    code: Code,
    output: &mut Output,
) -> Result<(), Failure> {
    match client.vault().fetch_credential(request).await {
        Err(status) if status.code() == code => {
            let reason = reason_of(&status).unwrap_or_default();
            output.line(&format!(
                "   {} {reason}: {}",
                code_name(status.code()),
                in_commands(status.message())
            ))
        }
        Err(status) => Err(status.into()),
        Ok(_) => Err(Failure::Unexpected(anyhow::Error::msg("a fetch was served that had to be refused"))),
    }
}
