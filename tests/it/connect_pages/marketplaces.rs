//! The page of the document "Secure Marketplace Connection Management": its "Frontend Components" list, add, test and delete
//! connections to Takealot, Amazon, Shopify and Xero. Here they are the vault's own page, with the catalog's own files, in place
//! of whose servers the simulator answers. It takes a key in the header `X-API-Key`.

use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, CLIENT_SECRET, Rotation};

use super::pages::about;
use super::request;
use super::window::{OWN, Window};
use crate::browser::CALLBACK;
use crate::harness::VaultBuilder;
use crate::harness::browser::Seen;
use crate::harness::provider::{Connected, STRICT, app_request, decide};
use crate::on_both;

on_both![the_page_lists_adds_tests_and_deletes_all_four];

const TAKEALOT: &str = include_str!("../../../crates/credvault-catalog/providers/takealot.toml");
const AMAZON: &str = include_str!("../../../crates/credvault-catalog/providers/amazon_sp_seller.toml");
const SHOPIFY: &str = include_str!("../../../crates/credvault-catalog/providers/shopify.toml");
const XERO: &str = include_str!("../../../crates/credvault-catalog/providers/xero.toml");

const CALL: &str = "{config.shop}/admin/api/{config.api_version}/graphql.json";
const QUERY: &str = "json = { query = \"{{ shop {{ id name myshopifyDomain }} }}\" }";

async fn started(builder: VaultBuilder) -> Connected {
    let takealot = TAKEALOT
        .replace("https://seller-api.takealot.com/v2/offers/count", "PROVIDER_URL/me")
        .replace("\"https://seller-api.takealot.com\"", "\"PROVIDER_URL\"")
        .replace("Authorization = \"Key {secret.api_key}\"", "X-API-Key = \"{secret.api_key}\"");
    let amazon = AMAZON
        .replace("https://api.amazon.com/auth/o2/token", "PROVIDER_URL/token")
        .replace(
            "https://sellingpartnerapi-{config.region}.amazon.com/sellers/v1/marketplaceParticipations",
            "PROVIDER_URL/me",
        )
        .replace("https://sellingpartnerapi-{config.region}.amazon.com", "PROVIDER_URL")
        .replace("x-amz-access-token =", "X-Simulator-Token =")
        .replace(r"'^Atza\|.+$'", "'^.+$'")
        .replace(r"'^Atzr\|.+$'", "'^.+$'")
        .replace(r"'^amzn1\.application-oa2-client\.[0-9a-f]{32}$'", "'^.+$'");
    let shopify = SHOPIFY
        .replace(&format!("https://{CALL}"), "PROVIDER_URL/me")
        .replace(QUERY, "")
        .replace("X-Shopify-Access-Token =", "X-API-Key =")
        .replace("[{ path = \"data.shop.id\" }]", "[{ path = \"id\" }]")
        .replace("data.shop.myshopifyDomain", "id")
        .replace("data.shop.name", "name")
        .replace("'^shp(at|ca|pa)_[A-Za-z0-9_]+$'", "'^.+$'")
        .replace("https://{config.shop}/admin/api/{config.api_version}", "PROVIDER_URL");
    let test = |url: &str| format!("call = {{ url = \"{url}\" }}");
    let xero = XERO
        .replace(&test("https://api.xero.com/connections"), &test("PROVIDER_URL/me"))
        .replace("https://login.xero.com/identity/connect/authorize", "PROVIDER_URL/authorize")
        .replace("https://identity.xero.com/connect/token", "PROVIDER_URL/token")
        .replace("https://identity.xero.com/connect/revocation", "PROVIDER_URL/revoke")
        .replace("https://api.xero.com", "PROVIDER_URL");
    let builder = builder.provider_file("takealot", &takealot).provider_file("xero", &xero);
    let builder = builder.provider_file("shopify", &shopify).provider_file("amazon_sp_seller", &amazon);
    let connected = builder.start_with_provider(STRICT).await;
    connected.provider.behave(|behaviour| behaviour.rotation = Rotation::Never);
    let app =
        v1::PutOAuthAppRequest { provider: "xero".into(), redirect_uri: String::new(), ..app_request() };
    connected.vault.client("operator").await.admin().put_o_auth_app(app).await.unwrap();
    connected
}

fn four() -> v1::CreateConnectSessionRequest {
    let providers = ["takealot", "amazon_sp_seller", "shopify", "xero"].map(str::to_owned);
    v1::CreateConnectSessionRequest { providers: providers.into(), ..request() }
}

/// Xero's connection is made by a consent.
async fn xero(window: &mut Window) -> Seen {
    let page = window.post("/add/xero", &[("mode", "oauth2_code"), ("by", "consent")]).await;
    let start = format!("{OWN}/oauth/start?");
    let link = page.body.split('"').find(|value| value.starts_with(&start));
    let started = window.go(link.unwrap_or_else(|| panic!("no link in {}", page.body))).await;
    let back = decide(started.headers["location"].to_str().unwrap(), "books", "allow").await;
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&back).finish();
    window.go(&format!("{}?{query}", CALLBACK.replace("simulator", "xero"))).await
}

async fn the_page_lists_adds_tests_and_deletes_all_four(builder: VaultBuilder) {
    let connected = started(builder).await;
    let (mut window, _) = Window::opened(&connected, "u1", four()).await;
    // A token that Seller Central shows.
    let token = connected.provider.issue("amazon-seller", &[]).refresh_token;
    let ids = they_are_added(&mut window, &token).await;
    they_are_tested_and_deleted(&mut window, &ids).await;
    assert_eq!(connected.provider.counts().revocations, 1, "Xero's grant was revoked");
}

async fn they_are_added(window: &mut Window, token: &str) -> Vec<String> {
    // "Connection form": the marketplaces, and for each what it asks for.
    let cards = window.look("/add").await;
    for name in ["Takealot", "Amazon", "Shopify", "Xero"] {
        assert!(cards.body.contains(name), "{name}: {}", cards.body);
    }
    assert!(!cards.body.contains("/add/simulator"), "the session names four: {}", cards.body);
    let form = window.look("/add/takealot?mode=seller_api").await;
    assert!(form.body.contains("Seller Portal &gt; API Integrations &gt; Seller API."), "{}", form.body);
    let takealot = |key| [("mode", "seller_api"), ("f-api_key", key), ("f-seller_id", "29847")];
    let amazon = |token| {
        [
            ("mode", "self_authorized"),
            ("f-region", "eu"),
            ("f-lwa_client_id", CLIENT_ID),
            ("f-lwa_client_secret", CLIENT_SECRET),
            ("f-refresh_token", token),
        ]
    };
    let shopify =
        [("mode", "access_token"), ("f-shop", "acme.myshopify.com"), ("f-access_token", "sim_key_acme-shop")];
    // "Error handling": a wrong key is refused at its form.
    let wrong = window.post("/add/takealot", &takealot("CANARY of a withdrawn key")).await;
    assert!(
        wrong.status == 400 && wrong.body.contains("Takealot does not accept these values"),
        "{}",
        wrong.body
    );
    // The vault gets the access token itself, and so learns what Amazon says of the refresh token.
    let form = window.look("/add/amazon_sp_seller?mode=self_authorized").await;
    assert!(form.body.contains("f-refresh_token") && !form.body.contains("f-access_token"), "{}", form.body);
    let wrong = window.post("/add/amazon_sp_seller", &amazon("CANARY of another")).await;
    assert!(wrong.status == 400 && wrong.body.contains("does not accept these values"), "{}", wrong.body);
    let short = window.post("/add/takealot", &takealot("CANARY")).await;
    assert!(short.body.contains("This has at least 16 characters."), "{}", short.body);
    let mut ids = Vec::new();
    for (provider, seen) in [
        ("takealot", window.post("/add/takealot", &takealot("sim_key_takealot-seller")).await),
        ("amazon_sp_seller", window.post("/add/amazon_sp_seller", &amazon(token)).await),
        ("shopify", window.post("/add/shopify", &shopify).await),
        ("xero", xero(window).await),
    ] {
        assert!(seen.body.contains("The account is connected."), "{provider}: {}", seen.body);
        ids.push(about(&seen.body));
    }
    ids
}

async fn they_are_tested_and_deleted(window: &mut Window, ids: &[String]) {
    // "Connection list": all of them, with their states.
    let list = window.look("").await;
    assert_eq!(list.body.matches(">Connected</span>").count(), 4, "{}", list.body);
    // "Test".
    for id in ids {
        let tested = window.post(&format!("/c/{id}/test"), &[]).await;
        assert!(tested.body.contains("The connection works"), "{id}: {}", tested.body);
    }
    // "Delete", with a confirmation that says what becomes of the access at each.
    let ends = ["cannot be asked to end the access"; 2]
        .into_iter()
        .chain(["Shopify cannot be asked to end the access", "Xero is asked to end the access"]);
    for (id, end) in ids.iter().zip(ends) {
        let asked = window.look(&format!("/c/{id}/remove")).await;
        assert!(asked.body.contains(end), "{end}: {}", asked.body);
        let gone = window.post(&format!("/c/{id}/remove"), &[]).await;
        assert!(gone.body.contains("The connection is removed."), "{}", gone.body);
    }
    assert!(window.look("").await.body.contains("Nothing is connected yet."));
}
