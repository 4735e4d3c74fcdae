//! PixelPim's document, "Per-User Integration Credentials Implementation", played from its first heading to its last. Each
//! step names its section in quotes.
//!
//! The catalog's own files of WooCommerce and Amazon are used, with the simulator in place of the shops and of Amazon. The
//! service `portal` is the back end that acts for the user of a request, `app` works for all users, `operator` administers.

mod endpoints;
mod enhancements;
mod errors;
mod logs;
mod transition;
mod users;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, CLIENT_SECRET, Rotation};
use serde_json::{Value, json};

use crate::harness::provider::{Connected, STRICT, decide};
use crate::harness::receiver::Receiver;
use crate::harness::{Client, TestVault, VaultBuilder, by_provider, input};

const TENANT: &str = "pixelpim";
const WOOCOMMERCE: &str = include_str!("../../../crates/credvault-catalog/providers/woocommerce.toml");
const AMAZON: &str = include_str!("../../../crates/credvault-catalog/providers/amazon_sp_seller.toml");

/// The file of WooCommerce, whose shops are all the simulator.
fn woocommerce() -> String {
    WOOCOMMERCE
        .replace("{config.store_url}/wp-json/wc/v3/products", "PROVIDER_URL/me")
        .replace("{config.store_url}/wp-json/wc/v3", "PROVIDER_URL")
        .replace("{config.store_url}", "PROVIDER_URL")
}

/// The file of Amazon with the simulator's addresses and forms of tokens.
fn amazon() -> String {
    let api = "https://sellingpartnerapi-{config.region}.amazon.com";
    let application = "application_id = \"{app.application_id}\"\n";
    let client = "response_type = \"code\"\nclient_id = \"{app.client_id}\"\n";
    AMAZON
        .replace(&format!("{api}/sellers/v1/marketplaceParticipations"), "PROVIDER_URL/me")
        .replace(api, "PROVIDER_URL")
        .replace("https://api.amazon.com/auth/o2/token", "PROVIDER_URL/token")
        .replace("https://{derived.consent_host}/apps/authorize/consent", "PROVIDER_URL/authorize")
        .replace(application, &format!("{application}{client}"))
        .replace("x-amz-access-token", "x-simulator-token")
        .replace(r"^amzn1\.application-oa2-client\.[0-9a-f]{32}$", "^simulator-client$")
        .replace(r"^Atzr\|.+$", r"^(?:Atzr\||sim_refresh_).+$")
        .replace(r"^Atza\|.+$", r"^(?:Atza\||sim_access_).+$")
}

/// A vault, and the provider in the role of both of PixelPim's. As at Amazon, refresh tokens do not rotate.
async fn start(builder: VaultBuilder) -> Connected {
    let builder = builder.provider_file("woocommerce", &woocommerce());
    let builder = builder.provider_file("amazon_sp_seller", &amazon());
    let connected = builder.start_with_provider(STRICT).await;
    connected.provider.behave(|behaviour| {
        behaviour.rotation = Rotation::Never;
        behaviour.code_parameter = "spapi_oauth_code".to_owned();
        behaviour.account_parameter = Some("selling_partner_id".to_owned());
    });
    connected.vault.tenant(TENANT).await;
    connected
}

/// The back end in a request of this user.
async fn request_of(vault: &TestVault, user: &str) -> Client {
    vault.client("portal").await.acting_for(TENANT, Some(user))
}

/// Consumer key and secret that a shop has made, as its owner copies them from WooCommerce's settings.
async fn keys_of(connected: &Connected, shop: &str) -> [String; 2] {
    let receiver = Receiver::start().await;
    receiver.answer(&[200]);
    let query = [
        ("app_name", "PixelPim"),
        ("scope", "read_write"),
        ("user_id", "7"),
        ("return_url", "http://127.0.0.1:9/back"),
        ("callback_url", receiver.url.as_str()),
    ];
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let page = format!("{}/wc-auth/v1/authorize?{query}", connected.provider.url());
    decide(&page, shop, "allow").await;
    let delivered = receiver.received()[0].json();
    ["consumer_key", "consumer_secret"].map(|name| delivered[name].as_str().unwrap().to_owned())
}

/// The secret that signs the webhooks of a shop.
fn hook(shop: &str) -> String {
    format!("wh_CANARY_{shop}")
}

/// The secret fields of a shop.
fn fields(shop: &str, [key, secret]: &[String; 2]) -> v1::CredentialInput {
    let hook = hook(shop);
    input(&[
        ("consumer_key", key.as_str()),
        ("consumer_secret", secret.as_str()),
        ("webhook_secret", hook.as_str()),
    ])
}

fn settings(pairs: &[(&str, &str)]) -> Option<prost_types::Struct> {
    let fields = pairs.iter().map(|(name, value)| ((*name).to_owned(), prost_types::Value::from(*value)));
    Some(prost_types::Struct { fields: fields.collect() })
}

/// A connection to a shop. Without an owner in the request, it belongs to the user of the request.
fn connect(shop: &str, account: &str, keys: &[String; 2]) -> v1::CreateConnectionRequest {
    let store_url = format!("https://{shop}.example.com");
    v1::CreateConnectionRequest {
        provider: "woocommerce".into(),
        account_name: account.into(),
        auth_mode: "key_pair".into(),
        config: settings(&[("store_url", store_url.as_str())]),
        credential: Some(fields(shop, keys)),
        ..Default::default()
    }
}

/// A fetch by a service that works for all users.
fn for_user(provider: &str, user: &str) -> v1::FetchCredentialRequest {
    v1::FetchCredentialRequest { user_id: user.to_owned(), ..by_provider(provider) }
}

/// The account that the provider takes the holder of a credential for; none if it does not accept it.
async fn account(credential: &v1::Credential) -> Option<String> {
    let auth = credential.request_auth.as_ref().unwrap();
    let mut request = reqwest::Client::new().get(format!("{}/me", auth.base_url));
    for (name, value) in &auth.headers {
        request = request.header(name.as_str(), value.as_str());
    }
    let answer = request.send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["id"].as_str().map(str::to_owned)
}

async fn connections(client: &Client, user: &str) -> Vec<v1::Connection> {
    let owner = v1::Owner { kind: v1::OwnerKind::User.into(), user_id: user.to_owned() };
    let request = v1::ListConnectionsRequest { owner: Some(owner), ..Default::default() };
    client.connections().list_connections(request).await.unwrap().into_inner().connections
}

async fn get(client: &Client, id: &str) -> v1::Connection {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    client.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap()
}

async fn put(client: &Client, request: v1::PutCredentialRequest) -> Result<i64, tonic::Status> {
    Ok(client.vault().put_credential(request).await?.into_inner().version.unwrap().version)
}

async fn tested(client: &Client, id: &str) -> Result<v1::TestOutcome, tonic::Status> {
    let request = v1::TestConnectionRequest { connection_id: id.to_owned() };
    Ok(client.connections().test_connection(request).await?.into_inner().outcome())
}

/// A delivery of a shop, signed with this secret, as the back end passes it on.
async fn verified(client: &Client, id: &str, secret: &str, body: &str) -> v1::VerifyWebhookResponse {
    let hex = credvault_testkit::hmac_sha256(secret.as_bytes(), body.as_bytes());
    let bytes: Vec<u8> =
        (0..32).map(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap()).collect();
    let signature = STANDARD.encode(bytes);
    let header = |name: &str, value: &str| v1::WebhookHeader { name: name.into(), value: value.into() };
    let request = v1::VerifyWebhookRequest {
        connection_id: id.to_owned(),
        headers: vec![
            header("X-WC-Webhook-Signature", &signature),
            header("X-WC-Webhook-Delivery-ID", "d17"),
        ],
        body: body.as_bytes().to_vec(),
        ..Default::default()
    };
    let answer = client.vault().verify_webhook(request).await.unwrap().into_inner();
    assert!(!format!("{answer:?}").contains("CANARY"), "{answer:?}");
    answer
}

/// A line of the table for each user's shop and seller account. The seller account of user 8 is switched off.
async fn rows(connected: &Connected) -> String {
    let mut lines = Vec::new();
    for user in ["7", "8"] {
        let shop = format!("shop-{user}");
        let [key, secret] = keys_of(connected, &shop).await;
        let refresh_token = connected.provider.issue(&format!("seller-{user}"), &["read"]).refresh_token;
        // "WooCommerce Credentials"
        let woocommerce = json!({
            "apiUrl": format!("https://{shop}.example.com"), "consumerKey": key, "consumerSecret": secret,
            "webhookSecret": hook(&shop),
        });
        // "Amazon Credentials"
        let amazon = json!({
            "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET, "refreshToken": refresh_token,
            "region": "us-east-1", "sellerId": format!("A{user}SELLER"), "webhookSecret": "CANARY",
        });
        for (kind, credentials, active) in
            [("woocommerce", woocommerce, true), ("amazon", amazon, user == "7")]
        {
            // "New Model: `UserIntegrationCredentials`"
            lines.push(json!({
                "id": lines.len() + 1, "userId": user.parse::<u32>().unwrap(), "integrationType": kind,
                "credentials": credentials, "isActive": active,
                "createdAt": "2026-01-05T10:00:00.000Z", "updatedAt": "2026-01-05T10:00:00.000Z",
            }));
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Runs `credvault import` as a service, and gives how many rows were created, unchanged and refused. It shows no key.
async fn import(vault: &TestVault, service: &str, arguments: &[&str]) -> [u64; 3] {
    let run = vault.import(service, &[], arguments).await;
    for secret in ["ck_", "cs_", "sim_refresh_", CLIENT_SECRET] {
        assert!(!run.shown.contains(secret), "{}", run.shown);
    }
    let (code, counts) = run.outcome();
    assert_eq!(code, 0, "{}", run.shown);
    counts
}
