//! What the requests of callers carry, provider by provider.

use super::*;

#[test]
fn requests_carry_what_each_provider_wants() {
    let catalog = catalog();
    let auth = |provider, name, settings: Value, fields: &[(&str, &str)]| {
        let (mode, settings, fields) = (mode(&catalog, provider, name), config(settings), secrets(fields));
        mode.check_config("config", &settings).expect("valid config");
        mode.check_secrets("fields", &fields).expect("valid credential");
        let app = App {
            client_id: "id".to_owned(),
            client_secret: None,
            settings: Default::default(),
            secrets: Default::default(),
        };
        mode.request_auth(&settings, &fields, Some(&app))
    };
    let shown = |pairs: &[(String, SecretString)]| {
        pairs.iter().map(|(name, value)| format!("{name}: {}", value.expose_secret())).collect::<Vec<_>>()
    };

    let shopify = auth(
        "shopify",
        "access_token",
        json!({"shop": "a-b.myshopify.com"}),
        &[("access_token", "shpat_CANARY")],
    );
    assert_eq!(shopify.base_url.as_deref(), Some("https://a-b.myshopify.com/admin/api/2026-10"));
    assert_eq!(shown(&shopify.headers), ["X-Shopify-Access-Token: shpat_CANARY"]);

    let key = format!("ck_{}", "a".repeat(40));
    let secret = format!("cs_{}", "b".repeat(40));
    let pair: &[(&str, &str)] = &[("consumer_key", &key), ("consumer_secret", &secret)];
    let store = json!({"store_url": "https://store.example/sub"});
    let woo = auth("woocommerce", "key_pair", store.clone(), pair);
    assert_eq!(woo.base_url.as_deref(), Some("https://store.example/sub/wp-json/wc/v3"));
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{key}:{secret}"));
    assert_eq!(shown(&woo.headers), [format!("Authorization: Basic {basic}")]);
    let query = auth("woocommerce", "key_pair_query", store, pair);
    assert_eq!(shown(&query.query), [format!("consumer_key: {key}"), format!("consumer_secret: {secret}")]);
    assert!(query.headers.is_empty());

    let fields: &[_] = &[("access_token", "Atza|CANARY"), ("refresh_token", "Atzr|CANARY")];
    let ads = auth("amazon_ads", "oauth2_code", json!({"region": "eu"}), fields);
    assert_eq!(ads.base_url.as_deref(), Some("https://advertising-api-eu.amazon.com"));
    let headers = shown(&ads.headers);
    assert!(headers.contains(&"Authorization: Bearer Atza|CANARY".to_owned()), "{headers:?}");
    assert!(!headers.iter().any(|header| header.contains("Scope")), "no profile was chosen: {headers:?}");

    let header = json!({"base_url": "https://api.example", "header_name": "X-Key"});
    let generic = auth("generic", "header", header, &[("api_key", "CANARY"), ("more", "CANARY")]);
    assert_eq!(shown(&generic.headers), ["X-Key: CANARY"]);

    let takealot = auth("takealot", "seller_api", json!({}), &[("api_key", "CANARY-0123456789")]);
    assert_eq!(shown(&takealot.headers), ["Authorization: Key CANARY-0123456789"]);
}
