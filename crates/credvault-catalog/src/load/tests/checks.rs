//! What modes accept as config and as credential.

use super::*;

#[test]
fn violations_name_the_field_and_the_rule_and_never_the_value() {
    let catalog = catalog();
    let shopify = mode(&catalog, "shopify", "access_token");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "fields must not be empty; it takes access_token, webhook_secret"),
        (&[("webhook_secret", "CANARY")], "fields[access_token] must be given: Admin API access token"),
        (
            &[("access_token", "CANARY")],
            "fields[access_token] must be an Admin API access token, which begins with",
        ),
        (&[("access_token", "shpat_CANARY\n")], "fields[access_token] must be one line"),
        (
            &[("access_token", "shpat_a"), ("canary", "CANARY")],
            "fields has an unknown field; it takes access_token",
        ),
    ];
    for (fields, expected) in cases {
        let message = shopify.check_secrets("fields", &secrets(fields)).expect_err(expected).to_string();
        assert!(message.starts_with(expected), "{message}");
        assert!(!message.to_lowercase().contains("canary"), "{message}");
    }
    let cases = [
        (json!({}), "config.shop must be given: Shop domain"),
        (json!({"shop": 5}), "config.shop must be a string"),
        (json!({"shop": "CANARY.example"}), "config.shop must be a permanent shop domain"),
        (json!({"shop": "a.myshopify.com", "access_token": "CANARY"}), "config.access_token is a secret"),
        (
            json!({"shop": "a.myshopify.com", "canary": true}),
            "config has an unknown setting; it takes api_version, shop",
        ),
    ];
    for (settings, expected) in cases {
        let message = shopify.check_config("config", &config(settings)).expect_err(expected).to_string();
        assert!(message.starts_with(expected), "{message}");
        assert!(!message.to_lowercase().contains("canary"), "{message}");
    }
}

#[test]
fn a_host_that_a_tenant_chooses_cannot_leave_its_domain() {
    let catalog = catalog();
    for shop in [
        "evil.example",
        "a.myshopify.com.evil.example",
        "a.myshopify.com/",
        "A.myshopify.com",
        "a.myshopify.com\n",
        "-a.myshopify.com",
    ] {
        let result =
            mode(&catalog, "shopify", "access_token").check_config("config", &config(json!({"shop": shop})));
        assert!(result.is_err(), "{shop:?}");
    }
    for url in [
        "http://a.example",
        "https://u:p@a.example",
        "https://a.example/?x",
        "https://a.example/#x",
        "ftp://a",
        "a.example",
        "https://",
    ] {
        let result = mode(&catalog, "woocommerce", "key_pair")
            .check_config("config", &config(json!({"store_url": url})));
        assert!(result.is_err(), "{url:?}");
    }
}

/// Each either has one spelling that every program reads alike, or is refused.
#[test]
fn a_url_that_programs_read_differently_is_refused() {
    let catalog = catalog();
    let woo = mode(&catalog, "woocommerce", "key_pair");
    let stored = |url: &str| {
        let config = woo.accepted_config("config", config(json!({ "store_url": url }))).ok()?;
        Some(config.get("store_url")?.as_str()?.to_owned())
    };
    for (url, plain) in [
        ("https://shop.example", "https://shop.example"),
        ("https://shop.example/", "https://shop.example"),
        ("HTTPS://Shop.Example:443//", "https://shop.example"),
        ("https://shop.example:8443/Sub/folder/", "https://shop.example:8443/Sub/folder"),
    ] {
        assert_eq!(stored(url).as_deref(), Some(plain), "{url}");
    }
    for url in [
        "https:shop.example",
        "https:/shop.example",
        "https:///shop.example",
        r"https:\shop.example",
        r"https://shop.example\@evil.example",
        "https://shop.example/\u{9}a",
        "https://shop.example@evil.example",
        "https://shop%2eexample",
        "https://shop.example.",
        "https://bücher.example",
        "https://shop.example/a/../b",
        "https://shop.example/a b",
        "https://0x7f.1",
        "https://2130706433",
        "https://[::ffff:127.0.0.1]",
        "https://shop.example:0443",
        "https://shop.example:",
    ] {
        assert_eq!(stored(url), None, "{url}");
    }
}

#[test]
fn a_service_account_is_its_json_and_its_hint_is_its_address() {
    let catalog = catalog();
    let sheets = mode(&catalog, "google_sheets", "service_account");
    let account = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "k", "private_key": PKCS8,
        "client_email": "sync@p.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
    });
    let with = |key: &str, value: Value| {
        let mut account = account.clone();
        account[key] = value;
        secrets(&[("service_account", &account.to_string())])
    };
    let sound = secrets(&[("service_account", &account.to_string())]);
    sheets.check_secrets("fields", &sound).expect("valid");
    assert_eq!(sheets.hints(&sound)["service_account"], "sync@p.iam.gserviceaccount.com");
    // Older files, and those that another tool has made.
    let old = json!("https://accounts.google.com/o/oauth2/token");
    let sparse = json!({ "type": "service_account", "client_email": "a@b.example", "private_key": PKCS1 });
    for taken in [
        with("token_uri", old),
        with("token_uri", Value::Null),
        secrets(&[("service_account", &sparse.to_string())]),
    ] {
        sheets.check_secrets("fields", &taken).expect("valid");
    }
    for wrong in [
        with("token_uri", json!("https://evil.example/token")),
        with("type", json!("authorized_user")),
        with("private_key", json!("")),
        with("client_email", json!(5)),
        secrets(&[("service_account", "CANARY, not JSON")]),
        secrets(&[("service_account", "[]")]),
    ] {
        let message = sheets.check_secrets("fields", &wrong).expect_err("wrong").to_string();
        assert!(!message.contains("CANARY"), "{message}");
    }
}

#[test]
fn a_country_or_marketplace_of_another_region_is_told_which_one_it_belongs_to() {
    let catalog = catalog();
    for provider in ["amazon_sp_seller", "amazon_sp_vendor"] {
        let amazon = mode(&catalog, provider, "oauth2_code");
        let check = |settings: Value| {
            amazon.check_config("config", &config(settings)).map_err(|error| error.to_string())
        };
        let (germany, america) = ("A1PA6795UKMFR9", "ATVPDKIKX0DER");
        assert_eq!(check(json!({"region": "eu", "country": "de", "marketplace_ids": germany})), Ok(()));
        assert_eq!(check(json!({"region": "eu", "marketplace_ids": "ANEWMARKETPLACE"})), Ok(()));
        let cases = [
            (
                json!({"region": "na", "country": "de"}),
                "config.country must fit the region: de belongs to eu",
            ),
            (
                json!({"region": "na", "marketplace_ids": format!("{america}, {germany}")}),
                "config.marketplace_ids must fit the region: A1PA6795UKMFR9 belongs to eu",
            ),
            (json!({"region": "eu", "country": "uk"}), "config.country must be one of us, ca"),
            (
                json!({"region": "na", "marketplace_ids": "canary"}),
                "config.marketplace_ids must be marketplace ids such as",
            ),
        ];
        for (settings, expected) in cases {
            let message = check(settings).expect_err(expected);
            assert!(message.starts_with(expected) && !message.contains("canary"), "{message}");
        }
    }
}
