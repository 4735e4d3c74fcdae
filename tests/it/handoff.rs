//! Delivered keys: a shop posts them to the port for browsers before it sends the browser back. The catalog's own file
//! of WooCommerce is used, with the simulator in place of the shop.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_proto::v1;
use serde_json::{Value, json};

use crate::harness::browser::{Browser, Seen};
use crate::harness::provider::{Connected, STRICT, decide, state};
use crate::harness::{Client, VaultBuilder, by_id, input, refusal};
use crate::on_both;

const ORIGIN: &str = "https://app.example.com";
const BACK: &str = "/oauth/callback/woocommerce";
const HANDOFF: &str = "/oauth/handoff/woocommerce";
const WOOCOMMERCE: &str = include_str!("../../crates/credvault-catalog/providers/woocommerce.toml");
const KEY: &str = "ck_facade00facade00facade00facade00facade00";
const SECRET: &str = "cs_c0ffee11c0ffee11c0ffee11c0ffee11c0ffee11";

/// A vault without an app at WooCommerce, whose shops are all the simulator.
async fn connected(builder: VaultBuilder) -> Connected {
    let file = WOOCOMMERCE.replace("{config.store_url}", "PROVIDER_URL");
    builder.provider_file("woocommerce", &file).start_with_provider(STRICT).await
}

async fn shop(app: &Client, account: &str) -> String {
    let store_url = ("store_url".to_owned(), prost_types::Value::from("https://shop.example"));
    let request = v1::CreateConnectionRequest {
        provider: "woocommerce".into(),
        account_name: account.into(),
        auth_mode: "key_pair".into(),
        config: Some(prost_types::Struct { fields: [store_url].into() }),
        ..Default::default()
    };
    app.create(request).await.unwrap().id
}

async fn begin(app: &Client, id: &str, origin: &str) -> v1::BeginAuthorizationResponse {
    let request = v1::BeginAuthorizationRequest {
        connection_id: id.to_owned(),
        return_origin: origin.to_owned(),
        ..Default::default()
    };
    app.connections().begin_authorization(request).await.unwrap().into_inner()
}

async fn complete(app: &Client, result: &str) -> Result<v1::Connection, tonic::Status> {
    let request = v1::CompleteAuthorizationRequest { result: result.to_owned(), ..Default::default() };
    Ok(app.connections().complete_authorization(request).await?.into_inner().connection.unwrap())
}

/// Where the browser is sent, with the port that the vault really has.
fn shop_page(started: &Seen, browser: &Browser) -> String {
    assert_eq!(started.status, 303, "{}", started.body);
    let address = browser.url.trim_start_matches("http://").replace(':', "%3A");
    started.headers["location"].to_str().unwrap().replace("localhost%3A7480", &address)
}

fn keys(state: &str) -> Value {
    json!({"key_id": 7, "user_id": state, "consumer_key": KEY, "consumer_secret": SECRET, "key_permissions": "read_write"})
}

/// Posts as a shop does, without a cookie. Both answers are bare.
async fn post(browser: &Browser, path: &str, body: String) -> u16 {
    let request = reqwest::Client::new().post(format!("{}{path}", browser.url));
    let response =
        request.header("content-type", "application/json;charset=UTF-8").body(body).send().await.unwrap();
    let status = response.status().as_u16();
    let policy = response.headers().contains_key("content-security-policy");
    assert!(policy);
    assert!(response.text().await.unwrap().is_empty());
    status
}

fn returned(state: &str, success: &str) -> BTreeMap<String, String> {
    [("success", success), ("user_id", state)].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

on_both![
    delivered_keys_are_usable_once_the_consent_is_complete,
    the_person_confirms_and_no_table_shows_the_keys,
    what_is_no_delivery_for_an_open_consent_is_refused_alike,
    a_return_without_keys_or_with_a_denial_ends_it,
];

async fn delivered_keys_are_usable_once_the_consent_is_complete(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let app = connected.vault.app("acme").await;
    let id = shop(&app, "main").await;
    // What the shop does not deliver stays.
    let old =
        input(&[("consumer_key", KEY), ("consumer_secret", SECRET), ("webhook_secret", "of_the_webhooks")]);
    let put =
        v1::PutCredentialRequest { connection_id: id.clone(), credential: Some(old), ..Default::default() };
    app.vault().put_credential(put).await.unwrap();
    let begun = begin(&app, &id, ORIGIN).await;
    let mut browser = Browser::of(&connected);
    let page = shop_page(&browser.start(&begun).await, &browser);
    assert!(page.contains("app_name=localhost&"), "{page}");
    assert!(page.contains("scope=read_write&"), "{page}");
    let parameters = decide(&page, "shop-1", "allow").await;
    assert_eq!(parameters, returned(&begun.state, "1"));
    assert_eq!(connected.provider.counts().keys_delivered, 1);
    assert_eq!(connected.vault.count("delivered_keys").await, 1);
    let page = browser.get(BACK, &parameters).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.data("outcome"), "returned");
    assert_eq!(
        app.fetch(by_id(&id)).await.unwrap().fields["consumer_key"],
        KEY,
        "not before the consent is complete"
    );
    let other = connected.vault.app("other").await;
    assert_eq!(
        refusal(&complete(&other, &page.data("result")).await.unwrap_err()),
        "FailedPrecondition STATE_INVALID"
    );
    let done = complete(&app, &page.data("result")).await.unwrap();
    assert_eq!(done.state(), v1::ConnectionState::Connected);
    assert_eq!(done.current_version, 2);
    assert_eq!(done.hints.len(), 3);
    assert!(done.last_refreshed_time.is_none());
    assert_eq!(connected.vault.count("delivered_keys").await, 0);
    assert_eq!(connected.vault.count("refreshes").await, 0);
    let fetched = app.fetch(by_id(&id)).await.unwrap();
    let basic = &fetched.request_auth.unwrap().headers["Authorization"];
    let me = reqwest::Client::new().get(format!("{}/me", connected.provider.url()));
    assert!(me.header("authorization", basic).send().await.unwrap().text().await.unwrap().contains("shop-1"));
    assert!(complete(&app, &page.data("result")).await.unwrap_err().message().contains("used already"));
}

async fn the_person_confirms_and_no_table_shows_the_keys(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let app = connected.vault.app("acme").await;
    let id = shop(&app, "main").await;
    let begun = begin(&app, &id, "").await;
    let mut browser = Browser::of(&connected);
    browser.start(&begun).await;
    assert_eq!(post(&browser, HANDOFF, keys(&begun.state).to_string()).await, 200);
    let page = browser.get(BACK, &returned(&begun.state, "1")).await;
    assert!(page.body.contains(&begun.confirmation_code), "{}", page.body);
    assert!(!page.body.contains(KEY), "{}", page.body);
    let hidden = async |when: &str| {
        for table in ["delivered_keys", "authorizations", "connections", "credential_versions", "requests"] {
            assert!(!connected.vault.holds(table, KEY).await, "{table} {when}");
            assert!(!connected.vault.holds(table, SECRET).await, "{table} {when}");
        }
    };
    hidden("before").await;
    assert_eq!(browser.confirm(&page).await.title(), "Connected");
    hidden("after").await;
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connected);
    let fields = app.fetch(by_id(&id)).await.unwrap().fields;
    assert_eq!(fields["consumer_key"].as_str(), KEY);
    assert_eq!(fields["consumer_secret"].as_str(), SECRET);
    let audit = app.events().await;
    let done = audit.iter().find(|event| event.action == "CompleteAuthorization").unwrap();
    assert_eq!(done.outcome(), v1::AuditOutcome::Ok);
    assert_eq!(done.tenant_source, "state");
}

async fn what_is_no_delivery_for_an_open_consent_is_refused_alike(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let app = connected.vault.app("acme").await;
    let id = shop(&app, "main").await;
    let begun = begin(&app, &id, ORIGIN).await;
    let mut browser = Browser::of(&connected);
    let good = keys(&begun.state).to_string();
    assert_eq!(post(&browser, HANDOFF, good.clone()).await, 400, "no browser has started it");
    browser.start(&begun).await;
    let without = |name: &str| {
        let mut keys = keys(&begun.state);
        keys.as_object_mut().unwrap().remove(name);
        keys.to_string()
    };
    let padded = format!("{}{good}", " ".repeat(64 * 1024));
    for (path, body) in [
        (HANDOFF, keys("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").to_string()),
        ("/oauth/handoff/shopify", good.clone()),
        ("/oauth/handoff/simulator", good.clone()),
        ("/oauth/handoff/nobody", good.clone()),
        (HANDOFF, padded),
        (HANDOFF, "not JSON".into()),
        (HANDOFF, String::new()),
        (HANDOFF, without("user_id")),
        (HANDOFF, without("consumer_secret")),
        (HANDOFF, good.replace("cs_c0", "cs_zz")),
    ] {
        assert_eq!(post(&browser, path, body.clone()).await, 400, "{path} {:.80}", body.trim());
    }
    assert_eq!(connected.vault.count("delivered_keys").await, 0);
    assert_eq!(post(&browser, HANDOFF, good.clone()).await, 200);
    assert_eq!(post(&browser, HANDOFF, good.clone()).await, 400, "twice");
    connected.vault.clock.advance(Duration::from_secs(601));
    assert_eq!(post(&browser, HANDOFF, good).await, 400, "late");
    assert_eq!(browser.get(BACK, &returned(&begun.state, "1")).await.title(), "This took too long");
}

async fn a_return_without_keys_or_with_a_denial_ends_it(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let app = connected.vault.app("acme").await;
    let id = shop(&app, "main").await;
    let mut browser = Browser::of(&connected);
    let begun = begin(&app, &id, ORIGIN).await;
    browser.start(&begun).await;
    let page = browser.get(BACK, &returned(&begun.state, "1")).await;
    assert_eq!(page.title(), "Not connected");
    assert_eq!(page.reason(), "CONSENT_FAILED");
    assert_eq!(page.data("outcome"), "failed");
    assert_eq!(post(&browser, HANDOFF, keys(&begun.state).to_string()).await, 400, "the browser is back");

    let begun = begin(&app, &id, ORIGIN).await;
    let page = shop_page(&browser.start(&begun).await, &browser);
    let page = browser.get(BACK, &decide(&page, "shop-1", "deny").await).await;
    assert_eq!(page.title(), "Not connected");
    assert_eq!(page.data("outcome"), "denied");
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Disconnected);
    assert_eq!(connected.vault.count("delivered_keys").await, 0);
    assert_eq!(connected.vault.count("credential_versions").await, 0);
}

#[tokio::test]
async fn keys_of_one_shop_are_not_stored_for_another() {
    let mut connected = connected(VaultBuilder::sqlite()).await;
    let vault = &mut connected.vault;
    let url = connected.provider.url();
    let app = vault.app("acme").await;
    let id = shop(&app, "main").await;
    let begun = begin(&app, &id, ORIGIN).await;
    // The shop's address changes while the consent is open.
    vault.stop().await;
    vault.write(
        "catalog/woocommerce.toml",
        &WOOCOMMERCE.replace("{config.store_url}", &format!("{url}/moved")),
    );
    vault.start().await;
    let app = vault.app("acme").await;
    let mut browser = Browser::of(&connected);
    browser.start(&begun).await;
    assert_eq!(post(&browser, HANDOFF, keys(&begun.state).to_string()).await, 200);
    let page = browser.get(BACK, &returned(&begun.state, "1")).await;
    let moved = complete(&app, &page.data("result")).await.unwrap_err();
    assert!(moved.message().contains("settings changed"), "{moved:?}");
    assert_eq!(connected.vault.count("delivered_keys").await, 0);
    assert_eq!(connected.vault.count("credential_versions").await, 0);
}

#[tokio::test]
async fn without_an_address_for_it_no_delivery_begins() {
    let vault = VaultBuilder::sqlite().start().await;
    let app = vault.app("acme").await;
    let connection_id = shop(&app, "main").await;
    let request = v1::BeginAuthorizationRequest { connection_id, ..Default::default() };
    let error = app.connections().begin_authorization(request).await.unwrap_err();
    assert_eq!(refusal(&error), "FailedPrecondition STATE_INVALID", "{error:?}");
    assert!(error.message().contains("public.url"), "{error:?}");
}
