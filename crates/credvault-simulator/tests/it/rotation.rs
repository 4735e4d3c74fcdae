//! The effect of refreshes on refresh tokens.

use std::time::Duration;

use credvault_simulator::{Behaviour, Rotation};
use serde_json::json;

use crate::harness::{Fixture, pass, text};

const GRACE: Duration = Duration::from_secs(1800);

fn grace(same_answer_within_grace: bool) -> impl FnOnce(&mut Behaviour) {
    move |behaviour| behaviour.rotation = Rotation::Rotating { grace: GRACE, same_answer_within_grace }
}

#[tokio::test]
async fn without_rotation_the_token_stays_and_is_repeated_if_asked() {
    let fixture = Fixture::with(|behaviour| behaviour.rotation = Rotation::Never).await;
    let token = fixture.simulator.issue("shop-1", &[]).refresh_token;
    for _ in 0..2 {
        let (status, body) = fixture.refresh(&token).await;
        assert_eq!(status, 200);
        assert_eq!(body.get("refresh_token"), None);
    }
    fixture.simulator.behave(|behaviour| behaviour.repeat_refresh_token = true);
    assert_eq!(fixture.refresh(&token).await.1["refresh_token"], json!(token));
    let family = fixture.simulator.family_of(&token).unwrap();
    assert_eq!(family.generation, 0);
    assert_eq!(family.refreshes, 3);
    assert_eq!(family.live_access_tokens, 4);
}

#[tokio::test]
async fn a_strict_provider_ends_the_family_when_a_token_comes_again() {
    let fixture = Fixture::start().await;
    let first = fixture.simulator.issue("shop-1", &[]);
    let (access, second) = fixture.renewed(&first.refresh_token).await;
    let (status, body) = fixture.refresh(&first.refresh_token).await;
    assert_eq!(status, 400);
    assert_eq!(&body["error"], &json!("invalid_grant"));
    assert_eq!(fixture.refresh(&second).await.0, 400);
    assert_eq!(fixture.me(&access).await, 401);
    assert_eq!(fixture.me(&first.access_token).await, 401);
    let family = fixture.simulator.family_of(&second).unwrap();
    assert!(family.revoked);
    assert_eq!(family.generation, 1);
    assert_eq!(family.refreshes, 3);
    assert_eq!(fixture.simulator.counts().reuses_detected, 1);
}

#[tokio::test]
async fn a_forgiving_one_refuses_the_token_and_keeps_the_family() {
    let fixture = Fixture::with(|behaviour| behaviour.revoke_family_on_reuse = false).await;
    let first = fixture.simulator.issue("shop-1", &[]).refresh_token;
    let (access, second) = fixture.renewed(&first).await;
    assert_eq!(fixture.refresh(&first).await.0, 400);
    assert_eq!(fixture.me(&access).await, 200);
    fixture.renewed(&second).await;
    assert_eq!(fixture.simulator.counts().reuses_detected, 1);
}

#[tokio::test]
async fn within_the_grace_the_same_answer_comes_again() {
    let fixture = Fixture::with(grace(true)).await;
    let first = fixture.simulator.issue("shop-1", &[]).refresh_token;
    let answer = fixture.renewed(&first).await;
    pass(Duration::from_secs(1799)).await;
    let (_, again) = fixture.refresh(&first).await;
    assert_eq!((text(&again, "access_token"), text(&again, "refresh_token")), answer);
    assert!(again["expires_in"].as_u64().unwrap() <= 3600 - 1799, "it has aged: {again}");
    pass(Duration::from_secs(1)).await;
    assert_eq!(fixture.refresh(&first).await.0, 400, "the grace counts from the first use");
    assert!(fixture.simulator.family_of(&first).unwrap().revoked);
}

#[tokio::test]
async fn or_new_tokens_come_and_those_given_before_are_superseded() {
    let fixture = Fixture::with(grace(false)).await;
    let first = fixture.simulator.issue("shop-1", &[]).refresh_token;
    let (_, lost) = fixture.renewed(&first).await;
    let (_, kept) = fixture.renewed(&first).await;
    assert_ne!(lost, kept);
    let family = fixture.simulator.family_of(&first).unwrap();
    assert_eq!(family.generation, 1);
    assert_eq!(family.current_refresh_token.as_str(), kept.as_str());
    pass(GRACE).await;
    assert_eq!(fixture.refresh(&lost).await.0, 400, "a stale token that a client has stored");
    assert_eq!(fixture.refresh(&kept).await.0, 400, "and it took the good one along");
}

#[tokio::test]
async fn only_the_immediately_previous_generation_has_a_grace() {
    let fixture = Fixture::with(grace(false)).await;
    let first = fixture.simulator.issue("shop-1", &[]).refresh_token;
    let (_, second) = fixture.renewed(&first).await;
    fixture.renewed(&second).await;
    fixture.renewed(&second).await;
    assert_eq!(fixture.refresh(&first).await.0, 400);
    assert!(fixture.simulator.family_of(&first).unwrap().revoked);
}

#[tokio::test]
async fn sliding_tokens_of_any_generation_work_for_their_time() {
    let keep = Duration::from_secs(24 * 3600);
    let fixture = Fixture::with(|behaviour| behaviour.rotation = Rotation::Sliding { keep }).await;
    let first = fixture.simulator.issue("shop-1", &[]).refresh_token;
    let (_, second) = fixture.renewed(&first).await;
    pass(keep / 2).await;
    fixture.renewed(&second).await;
    let (_, newest) = fixture.renewed(&first).await;
    pass(keep / 2).await;
    assert_eq!(fixture.refresh(&first).await.0, 400);
    fixture.renewed(&second).await;
    assert!(!fixture.simulator.family_of(&newest).unwrap().revoked);
    assert_eq!(fixture.simulator.counts().reuses_detected, 0);
}

#[tokio::test]
async fn renewing_ends_old_access_tokens_where_asked() {
    let fixture = Fixture::start().await;
    let first = fixture.simulator.issue("shop-1", &[]);
    let (access, second) = fixture.renewed(&first.refresh_token).await;
    assert_eq!(fixture.me(&first.access_token).await, 200);
    fixture.simulator.behave(|behaviour| behaviour.refresh_ends_access_tokens = true);
    fixture.renewed(&second).await;
    assert_eq!(fixture.me(&first.access_token).await, 401);
    assert_eq!(fixture.me(&access).await, 401);
    assert_eq!(fixture.simulator.family_of(&second).unwrap().live_access_tokens, 1);
}

#[tokio::test]
async fn requests_that_run_at_once_are_counted() {
    let fixture = Fixture::with(|behaviour| {
        behaviour.delay = Duration::from_millis(300);
        behaviour.rotation = Rotation::Never;
    })
    .await;
    let token = fixture.simulator.issue("shop-1", &[]).refresh_token;
    let (a, b, c) = tokio::join!(fixture.refresh(&token), fixture.refresh(&token), fixture.refresh(&token));
    assert_eq!(a.0, 200);
    assert_eq!(b.0, 200);
    assert_eq!(c.0, 200);
    fixture.refresh(&token).await;
    assert_eq!(fixture.simulator.counts().concurrent_refreshes_max, 3);
}
