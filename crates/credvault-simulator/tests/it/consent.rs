//! Consent in a browser.

use credvault_simulator::CLIENT_ID;

use crate::harness::{CALLBACK, Fixture, form, parameters, value};

fn request(more: &[(&str, &str)]) -> String {
    let common = [("client_id", CLIENT_ID), ("redirect_uri", CALLBACK), ("response_type", "code")];
    format!("/authorize?{}", form(&[more, &common].concat()))
}

#[tokio::test]
async fn the_page_asks_escapes_and_runs_no_script() {
    let fixture = Fixture::start().await;
    let response = fixture.get(&request(&[("scope", "<b>read</b>"), ("state", "\"><script>")])).await;
    assert_eq!(response.status(), 200);
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let html = response.text().await.unwrap();
    assert!(html.contains("&lt;b&gt;read&lt;/b&gt;"), "{html}");
    assert!(html.contains("&quot;&gt;&lt;script&gt;"), "{html}");
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains("<b>"), "{html}");
    assert!(html.contains("value=\"shop-1\""), "{html}");
    assert!(html.contains("action=\"/decide\""), "{html}");
}

#[tokio::test]
async fn allowing_leads_back_with_code_and_state_and_denying_with_an_error() {
    let fixture = Fixture::start().await;
    let allowed = fixture.allow("shop-7", &[]).await;
    assert!(value(&allowed, "code").is_some());
    assert_eq!(value(&allowed, "state").as_deref(), Some("state-1"));
    assert_eq!(value(&allowed, "iss"), None);
    assert_eq!(fixture.simulator.counts().authorizations, 1);
    let denied = fixture.decide(&[("decision", "deny")]).await;
    assert_eq!(value(&denied, "error").as_deref(), Some("access_denied"));
    assert_eq!(value(&denied, "state").as_deref(), Some("state-1"));
    assert_eq!(value(&denied, "code"), None);
    assert_eq!(fixture.simulator.counts().authorizations, 1);
}

#[tokio::test]
async fn a_strange_client_or_callback_gets_a_page_and_no_redirect() {
    let fixture = Fixture::start().await;
    let wrong = [
        ("client_id", "another"),
        ("redirect_uri", "https://example.com/callback"),
        ("redirect_uri", "ftp://127.0.0.1/callback"),
        ("redirect_uri", "http://127.0.0.1/#fragment"),
        ("redirect_uri", "http://127.0.0.1.example.com/"),
        ("redirect_uri", "nonsense"),
    ];
    for pair in wrong {
        assert_eq!(fixture.get(&request(&[pair])).await.status(), 400, "{pair:?}");
        let allow = [pair, ("client_id", CLIENT_ID), ("redirect_uri", CALLBACK), ("decision", "allow")];
        assert_eq!(fixture.post("/decide", &allow).await.unwrap().status(), 400, "{pair:?}");
    }
}

#[tokio::test]
async fn other_mistakes_are_told_to_the_callback() {
    let fixture = Fixture::start().await;
    let mistakes = [
        (("response_type", "token"), "unsupported_response_type"),
        (("code_challenge", "short"), "invalid_request"),
    ];
    for (mistake, error) in mistakes {
        let response = fixture.get(&request(&[mistake, ("code_challenge_method", "S256")])).await;
        assert_eq!(response.status(), 303);
        assert_eq!(value(&parameters(&response), "error").as_deref(), Some(error));
    }
    let plain = request(&[("code_challenge", crate::harness::CHALLENGE), ("code_challenge_method", "plain")]);
    let response = fixture.get(&plain).await;
    assert_eq!(value(&parameters(&response), "error").as_deref(), Some("invalid_request"));
}

#[tokio::test]
async fn redirect_uris_are_compared_once_some_are_registered() {
    let registered = "https://vault.example.com/callback?from=simulator";
    let fixture = Fixture::with(|behaviour| behaviour.redirect_uris = vec![registered.to_owned()]).await;
    assert_eq!(fixture.get(&request(&[])).await.status(), 400, "this machine is not among them");
    assert_eq!(fixture.get(&request(&[("redirect_uri", registered)])).await.status(), 200);
    let response = fixture.allow("shop-1", &[("redirect_uri", registered)]).await;
    assert_eq!(value(&response, "from").as_deref(), Some("simulator"), "its query stays");
    let left_out = [("client_id", CLIENT_ID), ("response_type", "code")];
    assert_eq!(fixture.get(&format!("/authorize?{}", form(&left_out))).await.status(), 200);
}

#[tokio::test]
async fn the_callback_has_the_issuer_and_other_names_where_asked() {
    let fixture = Fixture::with(|behaviour| {
        behaviour.send_iss = true;
        behaviour.code_parameter = "spapi_oauth_code".to_owned();
        behaviour.account_parameter = Some("selling_partner_id".to_owned());
    })
    .await;
    let callback = fixture.allow("seller-9", &[]).await;
    assert_eq!(value(&callback, "iss"), Some(fixture.simulator.url()));
    assert_eq!(value(&callback, "selling_partner_id").as_deref(), Some("seller-9"));
    assert_eq!(value(&callback, "code"), None);
    let (status, _) = fixture.exchange(&value(&callback, "spapi_oauth_code").unwrap()).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn walmarts_names_are_taken_too() {
    let fixture = Fixture::start().await;
    let pairs = [("clientId", CLIENT_ID), ("redirectUri", CALLBACK), ("responseType", "code")];
    assert_eq!(fixture.get(&format!("/authorize?{}", form(&pairs))).await.status(), 200);
}

#[tokio::test]
async fn the_index_and_the_style_are_served() {
    let fixture = Fixture::start().await;
    assert!(fixture.get("/").await.text().await.unwrap().contains("simulator-client"));
    assert_eq!(fixture.get("/style.css").await.headers()["content-type"], "text/css");
}
