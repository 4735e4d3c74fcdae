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
