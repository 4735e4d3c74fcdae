//! The endpoints `/me` and `/revoke`.

use credvault_simulator::{CLIENT_ID, CLIENT_SECRET, Revocation};
use serde_json::json;

use crate::harness::{Fixture, json};

const APP: [(&str, &str); 2] = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];

async fn revoke(fixture: &Fixture, token: &str) -> u16 {
    let pairs = [&APP[..], &[("token", token), ("token_type_hint", "refresh_token")]].concat();
    fixture.post("/revoke", &pairs).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_live_token_says_whose_it_is_in_either_header() {
    let fixture = Fixture::start().await;
    let token = fixture.simulator.issue("shop-1", &[]).access_token;
    for (name, value) in [("authorization", format!("Bearer {token}")), ("x-simulator-token", token)] {
        let request = fixture.client.get(fixture.simulator.url() + "/me").header(name, value);
        let (status, body) = json(request.send().await.unwrap()).await;
        assert_eq!(status, 200);
        assert_eq!(body, json!({ "id": "shop-1", "sub": "shop-1", "name": "The shop shop-1" }));
    }
    assert_eq!(fixture.me("unknown").await, 401);
    assert_eq!(fixture.get("/me").await.status(), 401);
    assert_eq!(fixture.simulator.counts().tests, 4);
}

#[tokio::test]
async fn a_static_key_says_whose_it_is() {
    let fixture = Fixture::start().await;
    let ask = |key: &'static str| {
        let request = fixture.client.get(fixture.simulator.url() + "/me").header("x-api-key", key);
        async { json(request.send().await.unwrap()).await }
    };
    let (status, body) = ask("sim_key_shop-3").await;
    assert_eq!(status, 200);
    assert_eq!(&body["id"], &json!("shop-3"));
    assert_eq!(ask("sim_key_").await.0, 401);
    assert_eq!(ask("other").await.0, 401);
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_the_family_and_an_access_token_itself() {
    let fixture = Fixture::start().await;
    let one = fixture.simulator.issue("shop-1", &[]);
    let other = fixture.simulator.issue("shop-1", &[]);
    assert_eq!(revoke(&fixture, &one.refresh_token).await, 200);
    assert_eq!(fixture.me(&one.access_token).await, 401);
    assert_eq!(fixture.refresh(&one.refresh_token).await.0, 400);
    assert_eq!(revoke(&fixture, &other.access_token).await, 200);
    assert_eq!(fixture.me(&other.access_token).await, 401);
    fixture.renewed(&other.refresh_token).await;
    assert_eq!(revoke(&fixture, "unknown").await, 200);
    assert_eq!(fixture.simulator.counts().revocations, 3);
}

#[tokio::test]
async fn revoking_needs_the_app() {
    let fixture = Fixture::start().await;
    let tokens = fixture.simulator.issue("shop-1", &[]);
    let response = fixture.post("/revoke", &[("token", &tokens.refresh_token)]).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(fixture.me(&tokens.access_token).await, 200);
}

#[tokio::test]
async fn revoking_can_be_out_of_order_or_refuse_what_is_gone() {
    let fixture = Fixture::with(|behaviour| behaviour.revocation = Revocation::Unavailable).await;
    let tokens = fixture.simulator.issue("shop-1", &[]);
    assert_eq!(revoke(&fixture, &tokens.refresh_token).await, 503);
    assert_eq!(fixture.me(&tokens.access_token).await, 200);
    fixture.simulator.behave(|behaviour| behaviour.revocation = Revocation::RefusesUnknown);
    assert_eq!(revoke(&fixture, &tokens.refresh_token).await, 200);
    let again = [&APP[..], &[("token", tokens.refresh_token.as_str())]].concat();
    let (status, body) = json(fixture.post("/revoke", &again).await.unwrap()).await;
    assert_eq!(status, 400);
    assert_eq!(&body["error"], &json!("invalid_token"));
}

#[tokio::test]
async fn an_account_that_removes_the_app_loses_everything() {
    let fixture = Fixture::start().await;
    let gone = fixture.simulator.issue("shop-1", &[]);
    let stays = fixture.simulator.issue("shop-2", &[]);
    let code = fixture.code("shop-1").await;
    fixture.simulator.revoke_account("shop-1");
    assert_eq!(fixture.me(&gone.access_token).await, 401);
    assert_eq!(fixture.me(&stays.access_token).await, 200);
    assert_eq!(fixture.refresh(&gone.refresh_token).await.0, 400);
    assert_eq!(fixture.exchange(&code).await.0, 400);
    assert_eq!(fixture.simulator.counts().reuses_detected, 0);
}
