//! The words in which requests are refused.

use credvault_simulator::{Dialect, Refusal, Step};
use serde_json::{Value, json};

use crate::harness::Fixture;

/// The answer to a refresh with an unknown token.
async fn dead(dialect: Dialect) -> (u16, Value) {
    Fixture::with(|behaviour| behaviour.errors = dialect).await.refresh("unknown").await
}

#[tokio::test]
async fn a_dead_grant_sounds_different_everywhere() {
    let (status, body) = dead(Dialect::Standard).await;
    assert_eq!(status, 400);
    assert_eq!(&body["error"], &json!("invalid_grant"));
    let (status, body) = dead(Dialect::Slack).await;
    assert_eq!(status, 200);
    assert_eq!(body, json!({ "ok": false, "error": "invalid_refresh_token" }));
    let (status, body) = dead(Dialect::Github).await;
    assert_eq!(status, 200);
    assert_eq!(&body["error"], &json!("bad_refresh_token"));
    let (status, body) = dead(Dialect::Shopify).await;
    assert_eq!(status, 401);
    assert_eq!(&body["error"], &json!("invalid_request"));
    assert!(body["error_description"].as_str().unwrap().contains("active refresh_token"));
    let (status, body) = dead(Dialect::Hubspot).await;
    assert_eq!(status, 400);
    assert_eq!(&body["status"], &json!("BAD_REFRESH_TOKEN"));
    let (status, body) = dead(Dialect::Meta).await;
    assert_eq!(status, 400);
    assert_eq!(&body["error"]["code"], &json!(190));
    let (status, body) = dead(Dialect::Tiktok).await;
    assert_eq!(status, 200);
    assert_ne!(body["code"], json!(0));
}

#[tokio::test]
async fn any_refusal_can_be_ordered_and_changes_nothing() {
    let orders = [
        (Refusal::InvalidRequest, 400, "invalid_request"),
        (Refusal::InvalidClient, 401, "invalid_client"),
        (Refusal::BadCode, 400, "invalid_grant"),
        (Refusal::DeadGrant, 400, "invalid_grant"),
        (Refusal::UnauthorizedClient, 400, "unauthorized_client"),
        (Refusal::UnsupportedGrantType, 400, "unsupported_grant_type"),
        (Refusal::InvalidScope, 400, "invalid_scope"),
    ];
    let script = orders.map(|(refusal, _, _)| Step::Refuse(refusal)).to_vec();
    let fixture = Fixture::with(|behaviour| behaviour.script = script).await;
    let token = fixture.simulator.issue("shop-1", &[]).refresh_token;
    for (refusal, status, error) in orders {
        let (given, body) = fixture.refresh(&token).await;
        assert_eq!(given, status, "{refusal:?}");
        assert_eq!(&body["error"], &json!(error), "{refusal:?}");
    }
    fixture.renewed(&token).await;
    let counts = fixture.simulator.counts();
    assert_eq!(counts.refreshes, 8);
    assert_eq!(counts.refreshes_answered_ok, 1);
}
