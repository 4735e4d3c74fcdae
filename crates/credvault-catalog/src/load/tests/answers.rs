//! What answers of real providers' shapes mean: tokens, tests, and what is asked after an exchange.

use super::*;
use crate::call::Body;
use crate::post_exchange::Details;

#[test]
fn a_shop_is_asked_by_graphql_whose_errors_come_with_status_200() {
    let catalog = catalog();
    let shopify = mode(&catalog, "shopify", "access_token");
    let (settings, fields) =
        (config(json!({"shop": "a.myshopify.com"})), secrets(&[("access_token", "shpat_a")]));
    let flow = Default::default();
    let given = Given { config: &settings, secrets: &fields, app: None, flow: &flow };
    let request = verify(shopify, given).expect("there is one").expect("complete");
    let Body::Json(body) = &request.body else { panic!("JSON") };
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
            Verdict::Unclear(RefusalKind::RateLimited),
        ),
        (401, json!({"errors": "[API] Invalid API key or access token"}), Verdict::Refused),
    ];
    for (status, body, expected) in cases {
        assert_eq!(verdict(shopify, status, &body), Some(expected), "{body}");
    }
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
    let refreshed =
        json!({"ok": true, "access_token": "xoxe.xoxp-2", "refresh_token": "xoxe-3", "token_type": "user"});
    assert_eq!(granted(own, refreshed).refresh_token.expect("rotated").expose_secret(), "xoxe-3");

    let refused = json!({"ok": false, "error": "invalid_refresh_token"});
    assert_eq!(refusal(own, 200, refused), RefusalKind::InvalidGrant);
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
        let given = Given { config: &settings, secrets: &fields, app: None, flow: &flow };
        let request = post_exchange(mode, given).expect("there is one").expect("complete");
        let shown = |(name, value): &(String, SecretString)| format!("{name}: {}", value.expose_secret());
        (request.url, [request.headers, request.query].concat().iter().map(shown).collect::<Vec<_>>())
    };
    let details = |settings: Value, account: Option<&str>| {
        let Value::Object(settings) = settings else { panic!("an object") };
        Ok(Details { settings: settings.into_iter().collect(), account: account.map(str::to_owned) })
    };

    let described = |provider: &str| {
        let grant = mode(&catalog, provider, "oauth2_code").code_grant().expect("a code");
        grant.post_exchange.as_ref().expect("there is one")
    };

    let mailchimp = mode(&catalog, "mailchimp", "oauth2_code");
    let (url, sent) = request(mailchimp, "t");
    assert_eq!(
        (url.as_str(), sent),
        ("https://login.mailchimp.com/oauth2/metadata", vec!["Authorization: OAuth t".to_owned()])
    );
    let metadata = json!({"dc": "us21", "user_id": 7, "api_endpoint": "https://us21.api.mailchimp.com"});
    assert_eq!(described("mailchimp").read(200, &metadata), details(json!({"dc": "us21"}), Some("7")));
    assert_eq!(
        described("mailchimp").read(200, &json!({"error": "invalid_token"})),
        Err(RefusalKind::Unknown)
    );
    assert!(!described("mailchimp").optional);

    let xero = mode(&catalog, "xero", "oauth2_code");
    // {"authentication_event_id":"e-1"}
    let (_, sent) = request(xero, "h.eyJhdXRoZW50aWNhdGlvbl9ldmVudF9pZCI6ImUtMSJ9.s");
    assert!(sent.contains(&"authEventId: e-1".to_owned()), "{sent:?}");
    let (_, sent) = request(xero, "opaque");
    assert!(!sent.iter().any(|pair| pair.starts_with("authEventId")), "{sent:?}");
    let tenants =
        json!([{"tenantId": "p", "tenantType": "PRACTICE"}, {"tenantId": "o", "tenantType": "ORGANISATION"}]);
    assert_eq!(described("xero").read(200, &tenants), details(json!({"tenant_id": "o"}), None));
    assert_eq!(described("xero").read(200, &json!([])), details(json!({}), None));
    assert_eq!(described("xero").read(503, &Value::Null), Err(RefusalKind::Outage));
    assert!(described("xero").optional);

    let me = json!({"user_id": 5, "shop_id": 12_345_678});
    assert_eq!(described("etsy").read(200, &me), details(json!({"shop_id": "12345678"}), Some("5")));
}

#[test]
fn a_refresh_tokens_own_end_is_read_in_each_providers_words() {
    let catalog = catalog();
    let seconds = |tokens: Granted| tokens.refresh_expires.map(|end| end.seconds());
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
fn granted_scopes_have_one_order_whatever_the_answers() {
    let catalog = catalog();
    let notion = mode(&catalog, "notion", "oauth2_code");
    for scope in
        [json!("write read"), json!("read,write"), json!("read write read"), json!(["write", "read"])]
    {
        let tokens = granted(notion, json!({"access_token": "t", "scope": scope}));
        assert_eq!(tokens.scopes, Some(vec!["read".to_owned(), "write".to_owned()]), "{scope}");
    }
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
