//! What refusals of real providers' shapes mean.

use super::*;

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
        assert_eq!(own.map(said), [RefusalKind::InvalidGrant; 9], "{error}");
        assert_eq!(platform.map(said), [RefusalKind::InvalidClient; 5], "{error}");
    }
}

#[test]
fn codes_in_ranges_and_lists_mean_what_they_say() {
    let catalog = catalog();
    let meta = mode(&catalog, "meta", "oauth2_code");
    let error = |code: i64| json!({"error": {"code": code}});
    assert_eq!(refusal(meta, 400, error(190)), RefusalKind::InvalidGrant);
    assert_eq!(refusal(meta, 400, error(80014)), RefusalKind::RateLimited);
    assert_eq!(refusal(meta, 400, error(80015)), RefusalKind::Unknown);
    assert_eq!(verdict(meta, 400, &error(294)), Some(Verdict::Limited));
    assert_eq!(verdict(meta, 400, &error(17)), Some(Verdict::Unclear(RefusalKind::RateLimited)));
    assert_eq!(verdict(meta, 400, &error(300)), Some(Verdict::Unclear(RefusalKind::Unknown)));

    let microsoft = mode(&catalog, "microsoft_graph", "oauth2_code");
    let several = json!({"error": "invalid_request", "error_codes": [90002, 7000222]});
    assert_eq!(refusal(microsoft, 401, several), RefusalKind::InvalidClient);

    let shop = mode(&catalog, "tiktok_shop", "oauth2_code");
    let refused = json!({"code": 36004004, "message": "auth code is invalid", "data": {"access_token": "t"}});
    assert_eq!(
        refusal(shop, 200, refused),
        RefusalKind::Unknown,
        "no token counts beside another code than 0"
    );
}

#[test]
fn a_success_without_tokens_is_an_outage_unless_the_provider_refuses_in_its_own_words() {
    let catalog = catalog();
    let notion = mode(&catalog, "notion", "oauth2_code");
    let cases = [
        (200, Value::Null, RefusalKind::Outage),
        (200, json!({}), RefusalKind::Outage),
        (200, json!({"status": "maintenance"}), RefusalKind::Outage),
        (200, json!({"access_token": ""}), RefusalKind::Outage),
        (200, json!({"error": "Something went <b>wrong</b>"}), RefusalKind::Outage),
        (302, Value::Null, RefusalKind::Outage),
        (408, Value::Null, RefusalKind::Outage),
        (502, json!({"error": "invalid_request"}), RefusalKind::Outage),
        (200, json!({"error": "invalid_scope"}), RefusalKind::Unknown),
        (400, json!({"error": "invalid_request"}), RefusalKind::Unknown),
        (400, json!({"error": "INVALID_GRANT"}), RefusalKind::Unknown),
        (401, json!({}), RefusalKind::Unknown),
        (403, json!(["refused"]), RefusalKind::Unknown),
        (200, json!({"error": "invalid_grant"}), RefusalKind::InvalidGrant),
    ];
    for (status, body, expected) in cases {
        assert_eq!(refusal(notion, status, body.clone()), expected, "{status} {body}");
    }
}

#[test]
fn a_page_in_place_of_a_refusal_is_an_outage_at_every_provider() {
    for provider in catalog().iter() {
        for (name, mode) in provider.modes().filter(|(_, mode)| mode.refreshes()) {
            for status in (300..500).filter(|status| *status != 429) {
                let page = (provider.id.as_str(), name.as_str(), status);
                assert_eq!(refusal(mode, status, Value::Null), RefusalKind::Outage, "{page:?}");
            }
        }
    }
}

#[test]
fn what_is_gone_says_so_in_the_providers_own_words() {
    let catalog = catalog();
    let cases = [
        (
            "github",
            "github_app",
            404,
            json!({"message": "Not Found", "documentation_url": "d", "status": "404"}),
        ),
        ("github", "github_app", 404, json!({"message": "Integration not found"})),
        ("shopify", "oauth2_code", 404, json!({"errors": "Not Found"})),
        ("shopify", "oauth2_client_credentials", 404, json!({"errors": "Not Found"})),
        (
            "walmart_marketplace",
            "oauth2_client_credentials",
            401,
            json!({"error": [{"code": "UNAUTHORIZED"}]}),
        ),
        (
            "fedex",
            "oauth2_client_credentials",
            401,
            json!({"errors": [{"code": "NOT.AUTHORIZED.ERROR", "message": "m"}]}),
        ),
        (
            "ups",
            "oauth2_client_credentials",
            401,
            json!({"response": {"errors": [{"code": "10401", "message": "ClientId is Invalid"}]}}),
        ),
        (
            "jira",
            "oauth2_code",
            403,
            json!({"error": "unauthorized_client", "error_description": "refresh_token is invalid"}),
        ),
    ];
    for (provider, name, status, body) in cases {
        let mode = mode(&catalog, provider, name);
        assert_eq!(refusal(mode, status, body), RefusalKind::InvalidGrant, "{provider} {name}");
        assert_eq!(
            refusal(mode, status, json!({"reason": "no route"})),
            RefusalKind::Unknown,
            "{provider} {name}"
        );
    }
}

#[test]
fn a_refusals_code_is_shown_if_it_is_a_plain_word() {
    let catalog = catalog();
    let code =
        |provider, body: Value| mode(&catalog, provider, "oauth2_code").oauth()?.response.error_code(&body);
    let long = "x".repeat(65);
    let cases = [
        ("notion", json!({"error": "invalid_request"}), Some("invalid_request")),
        ("notion", json!({"error": {"code": "invalid_grant"}}), Some("invalid_grant")),
        ("notion", json!({"error": "Not a word", "errors": [{"code": "E-1.2"}]}), Some("E-1.2")),
        ("notion", json!({"error": long}), None),
        ("notion", json!({"error": "line\nend", "code": "secret"}), None),
        ("meta", json!({"error": {"code": 190}}), Some("190")),
        ("hubspot", json!({"status": "BAD_AUTH_CODE"}), Some("BAD_AUTH_CODE")),
        ("tiktok_shop", json!({"code": 36_004_004}), Some("36004004")),
        ("walmart_marketplace", json!({"error": [{"code": "INVALID_TOKEN"}]}), Some("INVALID_TOKEN")),
        ("notion", Value::Null, None),
    ];
    for (provider, body, expected) in cases {
        assert_eq!(code(provider, body.clone()).as_deref(), expected, "{provider} {body}");
    }
}

#[test]
fn busy_is_none_of_the_words_for_dead() {
    let catalog = catalog();
    let salesforce = mode(&catalog, "salesforce", "oauth2_code");
    let said = |text: &str| json!({"error": "invalid_grant", "error_description": text});
    for text in ["token request is already being processed", "expired authorization code"] {
        assert_eq!(refusal(salesforce, 400, said(text)), RefusalKind::ConcurrentRequest, "{text}");
    }
    assert_eq!(refusal(salesforce, 400, said("expired access/refresh token")), RefusalKind::InvalidGrant);
}

#[test]
fn what_a_file_says_of_a_refusal_counts_before_the_words_of_the_standard() {
    let catalog = catalog();
    let jira = mode(&catalog, "jira", "oauth2_code");
    let said = |text: &str| json!({"error": "unauthorized_client", "error_description": text});
    assert_eq!(refusal(jira, 403, said("refresh_token is invalid")), RefusalKind::InvalidGrant);
    assert_eq!(refusal(jira, 403, said("grant type not allowed")), RefusalKind::InvalidClient);
    let zoho = mode(&catalog, "zoho_crm", "oauth2_code");
    assert_eq!(refusal(zoho, 200, json!({"error": "invalid_code"})), RefusalKind::InvalidGrant);
    assert_eq!(refusal(zoho, 200, json!({"error": "invalid_client"})), RefusalKind::InvalidClient);
}

#[test]
fn a_user_whom_zendesk_does_not_recognise_has_no_id() {
    let catalog = catalog();
    let zendesk = mode(&catalog, "zendesk", "oauth2_code");
    let anonymous = json!({"user": {"id": null, "name": "Anonymous user"}});
    assert_eq!(verdict(zendesk, 200, &anonymous), Some(Verdict::Refused));
    assert_eq!(verdict(zendesk, 429, &json!({})), Some(Verdict::Unclear(RefusalKind::RateLimited)));
}
