//! The shapes of good answers.

use credvault_simulator::{Behaviour, Dialect, Expiry, ScopeAnswer};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::harness::{Fixture, text};

async fn answer(change: impl FnOnce(&mut Behaviour)) -> Value {
    Fixture::with(change).await.connect("shop-1").await
}

#[tokio::test]
async fn expiry_comes_in_every_form() {
    let with =
        |expiry| answer(move |behaviour| (behaviour.expiry, behaviour.access_token_seconds) = (expiry, 7200));
    assert_eq!(with(Expiry::Seconds).await["expires_in"], json!(7200));
    assert_eq!(with(Expiry::Text).await["expires_in"], json!("7200"));
    assert_eq!(with(Expiry::Zero).await["expires_in"], json!(0));
    let omitted = with(Expiry::Omitted).await;
    assert!(!omitted.to_string().contains("expire"), "{omitted}");
    let due = OffsetDateTime::now_utc().unix_timestamp() + 7200;
    let seconds = with(Expiry::AbsoluteSeconds).await["access_token_expire_in"].as_i64().unwrap();
    let written = text(&with(Expiry::AbsoluteText).await, "expires_at");
    let written = OffsetDateTime::parse(&written, &Rfc3339).unwrap().unix_timestamp();
    for instant in [seconds, written] {
        assert!((instant - due).abs() < 60, "{instant} is not about {due}");
    }
}

#[tokio::test]
async fn what_never_ends_names_no_expiry() {
    let body = answer(|behaviour| behaviour.access_token_seconds = 0).await;
    assert!(!body.to_string().contains("expire"), "{body}");
}

#[tokio::test]
async fn scopes_are_named_left_out_or_fewer() {
    let with = |scope| answer(move |behaviour| behaviour.scope = scope);
    assert_eq!(with(ScopeAnswer::AsAsked).await["scope"], json!("read write"));
    assert_eq!(with(ScopeAnswer::Omitted).await.get("scope"), None);
    assert_eq!(with(ScopeAnswer::Narrower).await["scope"], json!("read"));
}

#[tokio::test]
async fn an_envelope_is_put_around() {
    let body = answer(|behaviour| behaviour.envelope = true).await;
    assert_eq!(&body["code"], &json!(0));
    assert_eq!(&body["message"], &json!("success"));
    assert!(body["data"]["access_token"].is_string());
    assert_eq!(body.get("access_token"), None);
}

#[tokio::test]
async fn slacks_user_tokens_are_nested() {
    let body = answer(|behaviour| (behaviour.authed_user, behaviour.errors) = (true, Dialect::Slack)).await;
    assert_eq!(&body["ok"], &json!(true));
    assert_eq!(&body["authed_user"]["id"], &json!("shop-1"));
    assert!(body["authed_user"]["access_token"].is_string());
    assert_eq!(body.get("access_token"), None);
}

#[tokio::test]
async fn names_are_in_camel_case_where_asked() {
    let body = answer(|behaviour| behaviour.camel_case = true).await;
    assert!(body["accessToken"].is_string());
    assert!(body["refreshToken"].is_string());
    assert_eq!(&body["expiresIn"], &json!(3600));
    assert_eq!(body.get("access_token"), None);
}
