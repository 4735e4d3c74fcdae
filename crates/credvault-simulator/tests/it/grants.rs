//! Each kind of grant, and its effect on the ledger.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_simulator::{Expiry, RefreshTokens};
use serde_json::json;

use crate::harness::{CALLBACK, CHALLENGE, Fixture, VERIFIER, pass, text, value};

#[tokio::test]
async fn a_code_yields_tokens_once_and_its_reuse_takes_them_back() {
    let fixture = Fixture::start().await;
    let code = fixture.code("shop-1").await;
    let (status, first) = fixture.exchange(&code).await;
    assert_eq!(status, 200);
    assert_eq!(&first["expires_in"], &json!(3600));
    assert_eq!(&first["scope"], &json!("read write"));
    assert_eq!(fixture.me(&text(&first, "access_token")).await, 200);
    let (status, again) = fixture.exchange(&code).await;
    assert_eq!(status, 400);
    assert_eq!(&again["error"], &json!("invalid_grant"));
    assert_eq!(fixture.me(&text(&first, "access_token")).await, 401);
    assert_eq!(fixture.refresh(&text(&first, "refresh_token")).await.0, 400);
    assert!(fixture.simulator.families()[0].revoked);
}

#[tokio::test]
async fn a_code_lives_five_minutes_by_tokios_clock() {
    let fixture = Fixture::start().await;
    let early = fixture.code("shop-1").await;
    let late = fixture.code("shop-2").await;
    pass(Duration::from_secs(299)).await;
    assert_eq!(fixture.exchange(&early).await.0, 200);
    pass(Duration::from_secs(1)).await;
    assert_eq!(fixture.exchange(&late).await.0, 400);
}

#[tokio::test]
async fn the_redirect_uri_must_be_the_same_unless_the_provider_does_not_ask() {
    let fixture = Fixture::start().await;
    let code = fixture.code("shop-1").await;
    let grant = [("grant_type", "authorization_code"), ("code", &code)];
    assert_eq!(fixture.token(&grant).await.0, 400);
    let other = [&grant[..], &[("redirect_uri", "http://127.0.0.1:9/other")]].concat();
    assert_eq!(fixture.token(&other).await.0, 400);
    fixture.simulator.behave(|behaviour| behaviour.exchange_without_redirect_uri = true);
    assert_eq!(fixture.token(&other).await.0, 400);
    assert_eq!(fixture.token(&grant).await.0, 200);
}

#[tokio::test]
async fn the_verifier_must_fit_the_challenge() {
    let fixture = Fixture::start().await;
    let bound = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let code = value(&fixture.allow("shop-1", &bound).await, "code").unwrap();
    let grant = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK)];
    assert_eq!(fixture.token(&grant).await.0, 400, "without a verifier");
    let with = |verifier| [&grant[..], &[("code_verifier", verifier)]].concat();
    assert_eq!(fixture.token(&with("another")).await.0, 400);
    assert_eq!(fixture.token(&with(VERIFIER)).await.0, 200);
    let unbound = fixture.code("shop-1").await;
    let grant = [("grant_type", "authorization_code"), ("code", &unbound), ("redirect_uri", CALLBACK)];
    let downgraded = [&grant[..], &[("code_verifier", VERIFIER)]].concat();
    assert_eq!(fixture.token(&downgraded).await.0, 400, "a verifier without a challenge");
}

#[tokio::test]
async fn refresh_tokens_come_always_first_or_never() {
    let fixture = Fixture::with(|behaviour| behaviour.refresh_tokens = RefreshTokens::FirstConsent).await;
    let first = fixture.connect("shop-1").await;
    assert!(first.get("refresh_token").is_some());
    assert!(fixture.connect("shop-1").await.get("refresh_token").is_none());
    assert!(fixture.connect("shop-2").await.get("refresh_token").is_some());
    let callback = fixture.allow("shop-1", &[("prompt", "consent")]).await;
    let (_, prompted) = fixture.exchange(&value(&callback, "code").unwrap()).await;
    assert!(prompted.get("refresh_token").is_some());
    fixture.simulator.revoke_account("shop-2");
    assert!(fixture.connect("shop-2").await.get("refresh_token").is_some(), "the first since");
    fixture.simulator.behave(|behaviour| behaviour.refresh_tokens = RefreshTokens::Never);
    assert!(fixture.connect("shop-3").await.get("refresh_token").is_none());
    assert_eq!(fixture.simulator.families().last().unwrap().current_refresh_token, "");
}

#[tokio::test]
async fn client_credentials_yield_the_apps_own_token() {
    let fixture = Fixture::start().await;
    let (status, body) = fixture.token(&[("grant_type", "client_credentials"), ("scope", "a,b")]).await;
    assert_eq!(status, 200);
    assert_eq!(&body["scope"], &json!("a b"));
    assert_eq!(body.get("refresh_token"), None);
    assert_eq!(fixture.me(&text(&body, "access_token")).await, 200);
    assert_eq!(fixture.simulator.counts().client_credentials, 1);
}

#[tokio::test]
async fn an_assertion_yields_its_issuers_token_without_a_client() {
    let fixture = Fixture::start().await;
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let good = format!("{}.{}.c2ln", part(r#"{"alg":"RS256"}"#), part(r#"{"iss":"robot@project"}"#));
    let (status, body) =
        crate::harness::json(fixture.post("/token", &[grant, ("assertion", &good)]).await.unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(&body["account"], &json!("robot@project"));
    let two_parts = good.rsplit_once('.').unwrap().0;
    for bad in [two_parts, "a.b.c", &format!("{good}.d")] {
        let response = fixture.post("/token", &[grant, ("assertion", bad)]).await.unwrap();
        assert_eq!(response.status(), 400, "{bad}");
    }
    assert_eq!(fixture.simulator.counts().assertions, 4);
}

#[tokio::test]
async fn an_access_token_is_extended_while_it_lives() {
    let fixture = Fixture::with(|behaviour| {
        behaviour.refresh_tokens = RefreshTokens::Never;
        behaviour.long_lived_seconds = 5_183_944;
    })
    .await;
    let short = text(&fixture.connect("person-1").await, "access_token");
    let extend = [("grant_type", "fb_exchange_token"), ("fb_exchange_token", short.as_str())];
    let (status, body) = fixture.token(&extend).await;
    assert_eq!(status, 200);
    assert_eq!(&body["expires_in"], &json!(5_183_944));
    pass(Duration::from_secs(3601)).await;
    assert_eq!(fixture.token(&extend).await.0, 400, "it ended");
    assert_eq!(fixture.me(&text(&body, "access_token")).await, 200);
    assert_eq!(fixture.simulator.counts().extensions, 2);
}

#[tokio::test]
async fn access_tokens_end_by_tokios_clock_or_never() {
    let fixture = Fixture::with(|behaviour| behaviour.access_token_seconds = 900).await;
    let mortal = fixture.simulator.issue("shop-1", &["read"]);
    assert_eq!(mortal.expires_in, 900);
    fixture.simulator.behave(|behaviour| behaviour.access_token_seconds = 0);
    let eternal = fixture.simulator.issue("shop-2", &[]);
    fixture
        .simulator
        .behave(|behaviour| (behaviour.access_token_seconds, behaviour.expiry) = (60, Expiry::Zero));
    let zero = fixture.simulator.issue("shop-3", &[]);
    pass(Duration::from_secs(899)).await;
    assert_eq!(fixture.me(&mortal.access_token).await, 200);
    pass(Duration::from_secs(1)).await;
    assert_eq!(fixture.me(&mortal.access_token).await, 401);
    assert_eq!(fixture.simulator.family_of(&mortal.refresh_token).unwrap().live_access_tokens, 0);
    assert_eq!(fixture.me(&eternal.access_token).await, 200);
    assert_eq!(fixture.me(&zero.access_token).await, 200);
}

#[tokio::test]
async fn an_unknown_grant_is_refused() {
    let fixture = Fixture::start().await;
    let (status, body) = fixture.token(&[("grant_type", "password")]).await;
    assert_eq!(status, 400);
    assert_eq!(&body["error"], &json!("unsupported_grant_type"));
    let (status, body) = fixture.token(&[("grant_type", "refresh_token")]).await;
    assert_eq!(status, 400);
    assert_eq!(&body["error"], &json!("invalid_request"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_grants_and_two_hundred_requests_at_once_are_no_effort() {
    let fixture = Fixture::start().await;
    let tokens: Vec<_> = (0..100_000)
        .map(|n| fixture.simulator.issue(&format!("shop-{n}"), &["read"]).refresh_token)
        .collect();
    let renewals = tokens.iter().step_by(500).map(|token| fixture.refresh(token));
    let answers = futures::future::join_all(renewals).await;
    assert_eq!(answers.len(), 200);
    assert!(answers.iter().all(|(status, _)| *status == 200));
    let counts = fixture.simulator.counts();
    assert_eq!(counts.refreshes, 200);
    assert_eq!(counts.refreshes_granted, 200);
    assert_eq!(counts.refreshes_answered_ok, 200);
    assert_eq!(fixture.simulator.families().iter().filter(|family| family.generation == 1).count(), 200);
}
