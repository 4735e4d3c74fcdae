//! Whose account a delivery is about, and what is no delivery at all, in the words of real providers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use credvault_catalog::{Catalog, KeyPlace, KnownAccount, Webhook};
use credvault_domain::{Config, ProviderId};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::webhook::{Delivery, Named, handshake, named};

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::load(None).expect("sound"));

fn webhook(provider: &str) -> &'static Webhook {
    let provider = CATALOG.get(&ProviderId::parse(provider).expect("an id")).expect("known");
    provider.webhooks.values().next().expect("one")
}

fn post<'a>(headers: &'a [(String, String)], body: &'a str) -> Delivery<'a> {
    Delivery { method: "POST", url: "https://hooks.example/in", headers, body: body.as_bytes() }
}

/// A confirmed account at a provider, with the body of a delivery about it and of one about another account.
struct AccountCase {
    provider: &'static str,
    settings: Value,
    external: &'static str,
    own: String,
    foreign: String,
}

/// Every place in which a provider's deliveries name their account.
fn account_cases() -> Vec<AccountCase> {
    let case = |provider, settings, external, own: &str, foreign: &str| {
        let (own, foreign) = (own.to_owned(), foreign.to_owned());
        AccountCase { provider, settings, external, own, foreign }
    };
    let form = |inner: &str| {
        format!("payload={}", url::form_urlencoded::byte_serialize(inner.as_bytes()).collect::<String>())
    };
    let (own_form, foreign_form) = (form(r#"{"team":{"id":"T1"}}"#), form(r#"{"team":{"id":"T2"}}"#));
    vec![
        case("slack", json!({"team_id": "T1"}), "U1", r#"{"team_id":"T1"}"#, r#"{"team_id":"T2"}"#),
        case("slack", json!({}), "T1", "command=x&team_id=T1", "command=x&team_id=T2"),
        case("slack", json!({}), "T1", &own_form, &foreign_form),
        case("hubspot", json!({}), "62515", r#"[{"portalId":1},{"portalId":62515}]"#, r#"[{"portalId":1}]"#),
        case(
            "xero",
            json!({"tenant_id": "a"}),
            "u",
            r#"{"events":[{"tenantId":"a"}],"firstEventSequence":1}"#,
            r#"{"events":[{"tenantId":"b"}],"firstEventSequence":1}"#,
        ),
        case(
            "quickbooks",
            json!({"realm_id": "77"}),
            "u",
            r#"{"eventNotifications":[{"realmId":"77"}]}"#,
            r#"{"eventNotifications":[{"realmId":"78"}]}"#,
        ),
        case(
            "github",
            json!({"installation_id": "5"}),
            "u",
            r#"{"installation":{"id":5}}"#,
            r#"{"installation":{"id":6}}"#,
        ),
        case(
            "github",
            json!({}),
            "9",
            r#"{"repository":{"owner":{"id":9}}}"#,
            r#"{"installation":{"id":9}}"#,
        ),
        case(
            "stripe",
            json!({"account_id": "acct_1"}),
            "x",
            r#"{"account":"acct_1"}"#,
            r#"{"account":"x2"}"#,
        ),
        case("meta", json!({"page_id": "3"}), "u", r#"{"entry":[{"id":"3"}]}"#, r#"{"entry":[{"id":"4"}]}"#),
        case(
            "bigcommerce",
            json!({"store_hash": "abc"}),
            "u",
            r#"{"producer":"stores/abc"}"#,
            r#"{"producer":"stores/abcd"}"#,
        ),
    ]
}

#[test]
fn what_an_apps_key_signs_is_for_the_account_that_it_names() {
    for AccountCase { provider, settings, external, own, foreign } in account_cases() {
        let confirmed_settings = texts(&settings);
        let config = config(settings);
        let nothing = (Config::default(), BTreeMap::new());
        let who = |body: &str, settings, confirmed_settings, confirmed_id| {
            let known = KnownAccount { settings, confirmed_settings, confirmed_id };
            named(webhook(provider), &post(&[], body), &known)
        };
        let confirmed = |body: &str| who(body, &config, &confirmed_settings, Some(external));
        assert!(matches!(confirmed(&own), Named::This(Some(_))), "{provider}: {own}");
        assert_eq!(confirmed(&foreign), Named::Other, "{provider}: {foreign}");
        for unnamed in ["", "{}", "[]", "<html>", "a=b"] {
            assert_eq!(confirmed(unnamed), Named::None, "{provider}: {unnamed}");
        }
        // Settings that the connection's owner wrote confirm no account, and a delivery that contradicts them is for another.
        assert_eq!(who(&own, &nothing.0, &nothing.1, None), Named::Unconfirmed, "{provider}");
        if !confirmed_settings.is_empty() {
            assert_eq!(who(&own, &config, &nothing.1, None), Named::Unconfirmed, "{provider}");
            assert_eq!(who(&foreign, &config, &nothing.1, None), Named::Other, "{provider}");
        }
    }
}

fn config(settings: Value) -> Config {
    let Value::Object(settings) = settings else { panic!("an object") };
    Config::new(settings).expect("small")
}

fn texts(settings: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(settings.clone()).expect("texts")
}

#[test]
fn a_shop_is_named_in_a_header_that_nothing_signs() {
    let settings = json!({"shop": "a.myshopify.com"});
    let (confirmed_settings, settings) = (texts(&settings), config(settings));
    let known =
        KnownAccount { settings: &settings, confirmed_settings: &confirmed_settings, confirmed_id: None };
    let from = |shop: &str| {
        let headers = [("X-Shopify-Shop-Domain".to_owned(), shop.to_owned())];
        named(webhook("shopify"), &post(&headers, "{}"), &known)
    };
    assert_eq!(from("a.myshopify.com"), Named::This(None));
    assert_eq!(from("b.myshopify.com"), Named::Other);
    assert_eq!(named(webhook("shopify"), &post(&[], "{}"), &known), Named::None);
}

#[test]
fn every_webhook_that_an_apps_key_signs_says_where_the_account_stands() {
    for provider in CATALOG.iter() {
        for (name, webhook) in &provider.webhooks {
            let shared = webhook.public_keys.is_some()
                || webhook.keys.iter().any(|key| !matches!(key, KeyPlace::Secret(_)));
            assert!(!shared || !webhook.accounts.is_empty(), "{}.{name}", provider.id);
        }
    }
}

#[test]
fn a_handshake_is_neither_a_delivery_nor_a_forgery() {
    let token = SecretString::from("chosen");
    let answer = |provider, delivery: Delivery<'_>, signed, kept: Option<&SecretString>| {
        handshake(webhook(provider), &delivery, signed, |_| kept)
            .map(|handshake| handshake.instructions.as_str())
    };
    assert!(answer("woocommerce", post(&[], "webhook_id=15"), false, None).is_some());
    for forged in ["", "webhook_id=15&id=7", r#"{"id":7,"webhook_id":15}"#, "id=15"] {
        assert_eq!(answer("woocommerce", post(&[], forged), false, None), None, "{forged}");
    }

    let right = "https://hooks.example/in?hub.mode=subscribe&hub.challenge=17&hub.verify_token=chosen";
    let asked = |method, url| Delivery { method, url, headers: &[], body: b"" };
    assert!(answer("meta", asked("GET", right), false, Some(&token)).is_some());
    assert_eq!(answer("meta", asked("GET", right), false, None), None, "no token is kept");
    let wrong = right.replace("chosen", "guessed");
    assert_eq!(answer("meta", asked("GET", &wrong), false, Some(&token)), None);
    assert_eq!(answer("meta", asked("POST", right), false, Some(&token)), None);

    let signed = [
        ("slack", r#"{"type":"url_verification","challenge":"c","token":"t"}"#),
        ("xero", r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"e"}"#),
        ("github", r#"{"zen":"Keep it simple.","hook_id":1}"#),
    ];
    for (provider, body) in signed {
        assert!(answer(provider, post(&[], body), true, None).is_some(), "{provider}");
        assert_eq!(
            answer(provider, post(&[], body), false, None),
            None,
            "{provider}: only after its signature"
        );
    }
}
