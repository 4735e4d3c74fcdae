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
            Verdict::Unclear(RefusalKind::Throttled),
        ),
        (401, json!({"errors": "[API] Invalid API key or access token"}), Verdict::Dead),
    ];
    for (status, body, expected) in cases {
        assert_eq!(shopify.verdict(status, &body), Some(expected), "{body}");
    }
}

fn granted(mode: &Mode, body: Value) -> crate::Granted {
    mode.read_tokens(200, &body, Default::default()).expect("tokens")
}

#[test]
fn slack_gives_a_bot_token_and_a_user_token_or_either() {
    let catalog = catalog();
    let user = json!({"id": "U1", "access_token": "xoxp-1", "refresh_token": "xoxe-2", "expires_in": 43200});
    let both = json!({
        "ok": true, "access_token": "xoxb-1", "token_type": "bot", "refresh_token": "xoxe-1", "expires_in": 43200,
        "team": {"id": "T12345"}, "authed_user": user,
    });
    let app = mode(&catalog, "slack", "oauth2_code");
    let tokens = granted(app, both);
    assert_eq!(tokens.access_token.expose_secret(), "xoxb-1");
    let field = |name: &str| tokens.secrets.get(name).expect(name).expose_secret();
    assert_eq!((field("user_access_token"), field("user_refresh_token")), ("xoxp-1", "xoxe-2"));
    let user_token = FieldName::parse("user_access_token").expect("a name");
    assert!(!app.is_vault_only(&user_token), "a fetch gives it");

    let own = mode(&catalog, "slack", "oauth2_code_user");
    let tokens = granted(own, json!({"ok": true, "team": {"id": "T12345"}, "authed_user": user}));
    assert_eq!(tokens.access_token.expose_secret(), "xoxp-1");
    assert_eq!(tokens.account.as_deref(), Some("U1"));
    assert!(tokens.expires.is_some());
    let renewed =
        json!({"ok": true, "access_token": "xoxe.xoxp-2", "refresh_token": "xoxe-3", "token_type": "user"});
    assert_eq!(granted(own, renewed).refresh_token.expect("rotated").expose_secret(), "xoxe-3");

    let refused = json!({"ok": false, "error": "invalid_refresh_token"});
    assert_eq!(refusal(own, 200, refused), RefusalKind::Dead);
}

#[test]
fn codes_in_ranges_and_lists_mean_what_they_say() {
    let catalog = catalog();
    let meta = mode(&catalog, "meta", "oauth2_code");
    let error = |code: i64| json!({"error": {"code": code}});
    assert_eq!(refusal(meta, 400, error(190)), RefusalKind::Dead);
    assert_eq!(refusal(meta, 400, error(80014)), RefusalKind::Throttled);
    assert_eq!(refusal(meta, 400, error(80015)), RefusalKind::Unknown);
    assert_eq!(meta.verdict(400, &error(294)), Some(Verdict::Limited));
    assert_eq!(meta.verdict(400, &error(17)), Some(Verdict::Unclear(RefusalKind::Throttled)));
    assert_eq!(meta.verdict(400, &error(300)), Some(Verdict::Unclear(RefusalKind::Unknown)));

    let microsoft = mode(&catalog, "microsoft_graph", "oauth2_code");
    let several = json!({"error": "invalid_request", "error_codes": [90002, 7000222]});
    assert_eq!(refusal(microsoft, 401, several), RefusalKind::App);

    let shop = mode(&catalog, "tiktok_shop", "oauth2_code");
    let refused = json!({"code": 36004004, "message": "auth code is invalid", "data": {"access_token": "t"}});
    assert_eq!(
        refusal(shop, 200, refused),
        RefusalKind::Unknown,
        "no token counts beside another code than 0"
    );
}

#[test]
fn whoever_is_not_recognised_at_zendesk_has_no_id() {
    let catalog = catalog();
    let zendesk = mode(&catalog, "zendesk", "oauth2_code");
    let anonymous = json!({"user": {"id": null, "name": "Anonymous user"}});
    assert_eq!(zendesk.verdict(200, &anonymous), Some(Verdict::Dead));
    assert_eq!(zendesk.verdict(429, &json!({})), Some(Verdict::Unclear(RefusalKind::Throttled)));
}

#[test]
fn hubspots_answers_are_read_in_both_spellings() {
    let catalog = catalog();
    let hubspot = mode(&catalog, "hubspot", "oauth2_code");
    for body in [
        json!({"access_token": "a", "refresh_token": "r", "expires_in": 1800}),
        json!({"accessToken": "a", "refreshToken": "r", "expiresIn": 1800}),
    ] {
        let tokens = granted(hubspot, body);
        assert_eq!(tokens.access_token.expose_secret(), "a");
        assert_eq!(tokens.refresh_token.expect("given").expose_secret(), "r");
    }
}

#[test]
fn what_tokens_do_not_say_is_asked_right_after_them() {
    let catalog = catalog();
    let (settings, flow) = (Config::default(), Default::default());
    let request = |mode: &Mode, token: &str| {
        let fields = secrets(&[("access_token", token)]);
        let given = crate::Given { config: &settings, secrets: &fields, app: None, flow: &flow };
        let request = mode.after(given).expect("there is one").expect("complete");
        let shown = |(name, value): &(String, SecretString)| format!("{name}: {}", value.expose_secret());
        (request.url, [request.headers, request.query].concat().iter().map(shown).collect::<Vec<_>>())
    };
    let details = |settings: Value, account: Option<&str>| {
        let Value::Object(settings) = settings else { panic!("an object") };
        Ok(crate::Details { settings: settings.into_iter().collect(), account: account.map(str::to_owned) })
    };

    let mailchimp = mode(&catalog, "mailchimp", "oauth2_code");
    let (url, sent) = request(mailchimp, "t");
    assert_eq!(
        (url.as_str(), sent),
        ("https://login.mailchimp.com/oauth2/metadata", vec!["Authorization: OAuth t".to_owned()])
    );
    let metadata = json!({"dc": "us21", "user_id": 7, "api_endpoint": "https://us21.api.mailchimp.com"});
    assert_eq!(mailchimp.read_after(200, &metadata), details(json!({"dc": "us21"}), Some("7")));
    assert_eq!(mailchimp.read_after(200, &json!({"error": "invalid_token"})), Err(RefusalKind::Unknown));
    assert!(!mailchimp.after_is_optional());

    let xero = mode(&catalog, "xero", "oauth2_code");
    // {"authentication_event_id":"e-1"}
    let (_, sent) = request(xero, "h.eyJhdXRoZW50aWNhdGlvbl9ldmVudF9pZCI6ImUtMSJ9.s");
    assert!(sent.contains(&"authEventId: e-1".to_owned()), "{sent:?}");
    let (_, sent) = request(xero, "opaque");
    assert!(!sent.iter().any(|pair| pair.starts_with("authEventId")), "{sent:?}");
    let tenants =
        json!([{"tenantId": "p", "tenantType": "PRACTICE"}, {"tenantId": "o", "tenantType": "ORGANISATION"}]);
    assert_eq!(xero.read_after(200, &tenants), details(json!({"tenant_id": "o"}), None));
    assert_eq!(xero.read_after(200, &json!([])), details(json!({}), None));
    assert_eq!(xero.read_after(503, &Value::Null), Err(RefusalKind::Outage));
    assert!(xero.after_is_optional());

    let etsy = mode(&catalog, "etsy", "oauth2_code");
    let me = json!({"user_id": 5, "shop_id": 12_345_678});
    assert_eq!(etsy.read_after(200, &me), details(json!({"shop_id": "12345678"}), Some("5")));
}

#[test]
fn a_refresh_tokens_own_end_is_read_in_each_providers_words() {
    let catalog = catalog();
    let seconds = |tokens: crate::Granted| tokens.refresh_expires.map(|end| end.seconds());
    let with = |name: &str, value: Value| json!({"access_token": "t", name: value});
    let cases = [
        ("shopify", with("refresh_token_expires_in", json!(7_776_000)), Some(7_776_000)),
        ("ebay", with("refresh_token_expires_in", json!(47_304_000)), Some(47_304_000)),
        ("quickbooks", with("x_refresh_token_expires_in", json!(8_640_000)), Some(8_640_000)),
        ("github", with("refresh_token_expires_in", json!("15897600")), Some(15_897_600)),
        ("shopify", with("refresh_token_expires_in", json!(0)), None),
        ("xero", json!({"access_token": "t"}), None),
    ];
    for (provider, body, expected) in cases {
        assert_eq!(seconds(granted(mode(&catalog, provider, "oauth2_code"), body)), expected, "{provider}");
    }
    let shop =
        json!({"code": 0, "data": {"access_token": "t", "refresh_token_expire_in": 4_000_000_000_i64}});
    assert_eq!(seconds(granted(mode(&catalog, "tiktok_shop", "oauth2_code"), shop)), Some(4_000_000_000));
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
        (200, json!({"error": "invalid_grant"}), RefusalKind::Dead),
    ];
    for (status, body, expected) in cases {
        assert_eq!(refusal(notion, status, body.clone()), expected, "{status} {body}");
    }
}

#[test]
fn a_page_in_place_of_a_refusal_is_an_outage_at_every_provider() {
    for provider in catalog().iter() {
        for (name, mode) in provider.modes().filter(|(_, mode)| mode.renews()) {
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
    ];
    for (provider, name, status, body) in cases {
        let mode = mode(&catalog, provider, name);
        assert_eq!(refusal(mode, status, body), RefusalKind::Dead, "{provider} {name}");
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
    let code = |provider, body: Value| mode(&catalog, provider, "oauth2_code").refusal_code(&body);
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
        assert_eq!(refusal(salesforce, 400, said(text)), RefusalKind::Busy, "{text}");
    }
    assert_eq!(refusal(salesforce, 400, said("expired access/refresh token")), RefusalKind::Dead);
}

#[test]
fn an_end_in_words_is_an_end() {
    let catalog = catalog();
    let github = mode(&catalog, "github", "github_app");
    let day = 24 * 3600;
    let cases = [
        (json!("1970-01-02T00:00:00Z"), day),
        (json!(" 1970-01-02T00:00:00.9+00:00 "), day),
        (json!(day), day),
        (json!("86400.5"), day),
        // Milliseconds are no year 57,000, and neither is what has passed or cannot be read for ever.
        (json!(1_764_130_000_000_i64), 3600),
        (json!(0), 3600),
        (json!("tomorrow"), 3600),
        (json!(true), 3600),
    ];
    for (end, expected) in cases {
        let tokens = granted(github, json!({"token": "t", "expires_at": end}));
        assert_eq!(tokens.expires.expect("an end").seconds(), expected, "{end}");
    }
    let meta = mode(&catalog, "meta", "oauth2_code");
    let zero = granted(meta, json!({"access_token": "t", "expires_in": 0}));
    assert_eq!(zero.expires.expect("an end").seconds(), 60 * day, "what the file says of it");
    let unclear = granted(meta, json!({"access_token": "t", "expires_in": "3600s"}));
    assert_eq!(unclear.expires.expect("an end").seconds(), 3600);
}
