//! What answers of real providers' shapes mean.

use super::*;
use crate::RefusalKind;

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
