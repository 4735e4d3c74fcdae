//! What answers of real providers' shapes mean.

use super::*;
use crate::{RefusalKind, Verdict};

fn refusal(mode: &Mode, status: u16, body: Value) -> RefusalKind {
    mode.read_tokens(status, &body, Default::default()).expect_err("a refusal")
}

#[test]
fn a_refused_client_is_dead_where_it_is_the_connections_own_and_the_apps_fault_elsewhere() {
    let catalog = catalog();
    let own = [
        ("walmart_marketplace", "oauth2_client_credentials"),
        ("xero", "oauth2_client_credentials"),
        ("shopify", "oauth2_client_credentials"),
        ("ebay", "oauth2_client_credentials"),
        ("microsoft_graph", "oauth2_client_credentials"),
        ("salesforce", "oauth2_client_credentials"),
        ("salesforce", "jwt_bearer"),
        ("amazon_sp_seller", "self_authorized"),
        ("amazon_sp_vendor", "self_authorized"),
    ];
    let platform = [
        ("xero", "oauth2_code"),
        ("ebay", "oauth2_code"),
        ("amazon_sp_seller", "oauth2_code"),
        ("etsy", "oauth2_code"),
        ("microsoft_graph", "oauth2_code"),
    ];
    for error in ["invalid_client", "unauthorized_client"] {
        let said = |(provider, name)| refusal(mode(&catalog, provider, name), 400, json!({ "error": error }));
        assert_eq!(own.map(said), [RefusalKind::Dead; 9], "{error}");
        assert_eq!(platform.map(said), [RefusalKind::App; 5], "{error}");
    }
}

#[test]
fn a_shop_is_asked_by_graphql_whose_errors_come_with_status_200() {
    let catalog = catalog();
    let shopify = mode(&catalog, "shopify", "access_token");
    let (settings, fields) =
        (config(json!({"shop": "a.myshopify.com"})), secrets(&[("access_token", "shpat_a")]));
    let flow = Default::default();
    let given = crate::Given { config: &settings, secrets: &fields, app: None, flow: &flow };
    let request = shopify.verify(given).expect("there is one").expect("complete");
    let crate::Body::Json(body) = &request.body else { panic!("JSON") };
    let body: Value = serde_json::from_str(body.expose_secret()).expect("JSON");
    assert_eq!(body, json!({"query": "{ shop { id name myshopifyDomain } }"}));
    assert_eq!(request.headers[0].0, "X-Shopify-Access-Token");

    let shop = json!({"id": "gid://shopify/Shop/1", "name": "A", "myshopifyDomain": "a.myshopify.com"});
    let works = Verdict::Works { account: Some("a.myshopify.com".to_owned()), name: Some("A".to_owned()) };
    let denied = json!({"errors": [{"extensions": {"code": "ACCESS_DENIED"}}], "data": null});
    let cases = [
        (200, json!({"data": {"shop": shop}}), works),
        (200, denied, Verdict::Limited),
        (
            200,
            json!({"errors": [{"extensions": {"code": "THROTTLED"}}]}),
            Verdict::Unclear(RefusalKind::Unknown),
        ),
        (401, json!({"errors": "[API] Invalid API key or access token"}), Verdict::Dead),
    ];
    for (status, body, expected) in cases {
        assert_eq!(shopify.verdict(status, &body), Some(expected), "{body}");
    }
}
