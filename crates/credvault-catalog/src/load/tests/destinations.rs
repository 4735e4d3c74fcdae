//! Which settings decide where secrets are sent, over the whole catalog.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Over the whole catalog: exactly the settings in authorities decide.
#[test]
fn exactly_the_settings_in_authorities_decide() {
    let catalog = Catalog::load(None).expect("loads");
    let mut deciding: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for provider in catalog.iter() {
        for (_, mode) in provider.modes() {
            let names = mode.destinations().names().map(str::to_owned).collect::<Vec<_>>();
            deciding.entry(provider.id.to_string()).or_default().extend(names);
        }
    }
    let of = |provider: &str| {
        deciding[provider].iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(of("woocommerce"), ["store_url"]);
    assert_eq!(of("generic"), ["base_url"]);
    assert_eq!(of("zendesk"), ["subdomain"]);
    assert_eq!(of("shopify"), ["shop"], "and not the version of the API");
    assert_eq!(of("salesforce"), ["instance_url", "login_host", "my_domain"]);
    assert_eq!(of("ebay"), ["environment"], "by way of a value that is looked up");
    assert_eq!(of("bigcommerce"), Vec::<&str>::new(), "a path only");
    assert_eq!(of("stripe"), Vec::<&str>::new());
}

#[test]
fn places_are_those_that_a_caller_chooses() {
    let catalog = Catalog::load(None).expect("loads");
    let mode = |provider: &str, mode: &str| {
        let provider = ProviderId::parse(provider).expect("an id");
        let mode = AuthMode::parse(mode).expect("a mode");
        catalog.get(&provider).expect("known").mode(&mode).expect("known")
    };
    let woo = mode("woocommerce", "key_pair");
    let places = woo.chosen_places(&config(json!({ "store_url": "https://shop.example:8443/sub/" })));
    assert_eq!(
        places.into_iter().collect::<Vec<_>>(),
        [("store_url".to_owned(), "https://shop.example:8443/sub".to_owned())]
    );
    let ebay = mode("ebay", "oauth2_code");
    assert!(ebay.chosen_places(&config(json!({ "environment": "sandbox" }))).is_empty());
    assert!(!ebay.hosts(&config(json!({ "environment": "sandbox" }))).is_empty());
}

/// A default that is written out leads where it led before.
#[test]
fn a_default_that_is_written_out_moves_nothing() {
    let catalog = Catalog::load(None).expect("loads");
    for (_, mode) in catalog.iter().flat_map(|provider| provider.modes()) {
        let destinations = mode.destinations();
        let written: serde_json::Map<_, _> = destinations
            .names()
            .filter_map(|name| Some((name.to_owned(), mode.config.get(name)?.default.clone()?)))
            .collect();
        let written = Config::new(written).expect("small");
        assert!(!destinations.differ(&json!({}), &written));
    }
}

/// What decides whether an outage is one of the provider.
#[test]
fn a_server_of_a_tenants_choice_and_a_sandbox_are_not_the_provider() {
    let catalog = Catalog::load(None).expect("loads");
    let asks = |provider: &str, name: &str, settings: Value| {
        let mode = mode(&catalog, provider, name);
        let refresh = mode.refresh().map(|refresh| &refresh.call);
        let call = refresh.or(mode.test.as_ref().map(|test| &test.call)).expect("has a call");
        mode.asks_provider(call, &config(settings))
    };
    for (provider, mode, settings) in [
        ("hubspot", "oauth2_code", json!({})),
        ("shopify", "oauth2_code", json!({ "shop": "a.myshopify.com" })),
        ("zendesk", "oauth2_code", json!({ "subdomain": "a" })),
        ("docusign", "oauth2_code", json!({})),
        ("docusign", "oauth2_code", json!({ "environment": "production" })),
        ("quickbooks", "oauth2_code", json!({ "environment": "sandbox" })),
        ("zoho_crm", "oauth2_code", json!({ "region": "eu" })),
        ("salesforce", "oauth2_code", json!({ "login_host": "acme.my.salesforce.com" })),
    ] {
        assert!(asks(provider, mode, settings), "{provider}");
    }
    let endpoint = json!({ "issuer": "https://id.example", "token_endpoint": "https://id.example/token" });
    for (provider, mode, settings) in [
        ("oidc", "oauth2_code", endpoint.clone()),
        ("oidc", "oauth2_client_credentials", endpoint),
        ("woocommerce", "key_pair", json!({ "store_url": "https://shop.example" })),
        ("magento", "access_token", json!({ "store_url": "https://shop.example" })),
        ("docusign", "oauth2_code", json!({ "environment": "demo" })),
        ("ebay", "oauth2_code", json!({ "environment": "sandbox" })),
        ("adyen", "api_key", json!({ "environment": "test" })),
        ("salesforce", "oauth2_code", json!({ "login_host": "test.salesforce.com" })),
    ] {
        assert!(!asks(provider, mode, settings), "{provider}");
    }
}
