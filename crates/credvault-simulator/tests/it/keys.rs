//! The endpoints that make and revoke API keys.

use credvault_simulator::{Minting, Revocation};
use reqwest::Method;
use serde_json::Value;

use crate::harness::{Fixture, text};

const FIRST: &str = "sim_key_shop-1";

async fn ask(fixture: &Fixture, method: Method, path: &str, key: &str) -> (u16, Value) {
    let request = fixture.client.request(method, fixture.simulator.url() + path).header("x-api-key", key);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

async fn accepts(fixture: &Fixture, key: &str) -> bool {
    ask(fixture, Method::GET, "/me", key).await.0 == 200
}

/// Another key, with its id.
async fn made(fixture: &Fixture, path: &str, key: &str) -> (String, String) {
    let (status, body) = ask(fixture, Method::POST, path, key).await;
    assert_eq!(status, 201, "{body}");
    (text(&body, "key"), text(&body, "id"))
}

#[tokio::test]
async fn a_key_makes_another_one_of_its_account_and_revokes_it() {
    let fixture = Fixture::start().await;
    let (key, id) = made(&fixture, "/keys", FIRST).await;
    assert!(accepts(&fixture, &key).await && accepts(&fixture, FIRST).await);
    assert_eq!(fixture.simulator.made_keys("shop-1"), std::slice::from_ref(&id));
    // Another account's key is not found.
    assert_eq!(ask(&fixture, Method::DELETE, &format!("/keys/{id}"), "sim_key_shop-2").await.0, 204);
    assert!(accepts(&fixture, &key).await);
    // The first key's id is the account.
    assert_eq!(ask(&fixture, Method::DELETE, "/keys/shop-1", &key).await.0, 204);
    assert!(!accepts(&fixture, FIRST).await && !fixture.simulator.has_key(FIRST));
    assert_eq!(ask(&fixture, Method::DELETE, &format!("/keys/{id}"), &key).await.0, 204);
    assert!(!accepts(&fixture, &key).await);
    assert_eq!(ask(&fixture, Method::POST, "/keys", &key).await.0, 401);
    let counts = fixture.simulator.counts();
    assert_eq!((counts.mints, counts.keys_minted, counts.key_revocations, counts.keys_revoked), (2, 1, 3, 2));
}

#[tokio::test]
async fn a_key_that_is_rolled_ends_at_once() {
    let fixture = Fixture::start().await;
    let (second, _) = made(&fixture, "/keys/roll", FIRST).await;
    assert!(!accepts(&fixture, FIRST).await && accepts(&fixture, &second).await);
    let (third, _) = made(&fixture, "/keys/roll", &second).await;
    assert!(!accepts(&fixture, &second).await && accepts(&fixture, &third).await);
}

#[tokio::test]
async fn making_and_revoking_can_go_wrong() {
    let fixture = Fixture::start().await;
    for (minting, status) in [(Minting::Refused, 403), (Minting::Unavailable, 503)] {
        fixture.simulator.behave(|behaviour| behaviour.minting = minting);
        assert_eq!(ask(&fixture, Method::POST, "/keys", FIRST).await.0, status);
        assert_eq!(fixture.simulator.counts().keys_minted, 0);
    }
    fixture.simulator.behave(|behaviour| behaviour.minting = Minting::Lost);
    let request = fixture.client.post(fixture.simulator.url() + "/keys").header("x-api-key", FIRST);
    assert!(request.send().await.is_err(), "the answer is lost");
    assert_eq!(fixture.simulator.made_keys("shop-1").len(), 1);

    fixture.simulator.behave(|behaviour| {
        (behaviour.minting, behaviour.revocation) = (Minting::Works, Revocation::Unavailable);
    });
    let (key, id) = made(&fixture, "/keys", FIRST).await;
    let path = format!("/keys/{id}");
    assert_eq!(ask(&fixture, Method::DELETE, &path, FIRST).await.0, 503);
    assert!(accepts(&fixture, &key).await);
    fixture.simulator.behave(|behaviour| behaviour.revocation = Revocation::RefusesUnknown);
    assert_eq!(ask(&fixture, Method::DELETE, &path, FIRST).await.0, 204);
    assert_eq!(ask(&fixture, Method::DELETE, &path, FIRST).await.0, 404);

    let (key, _) = made(&fixture, "/keys", FIRST).await;
    fixture.simulator.behave(|behaviour| behaviour.made_keys_work = false);
    assert!(!accepts(&fixture, &key).await && accepts(&fixture, FIRST).await);
}
