//! The places in which the app sends its secret.

use credvault_simulator::{CLIENT_ID, CLIENT_SECRET, ClientAuth, SECOND_CLIENT_SECRET};
use serde_json::json;

use crate::harness::{CALLBACK, Fixture, form, text};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

/// Asks for the app's own token with the secret in this place.
async fn ask(fixture: &Fixture, by: ClientAuth, secret: &str) -> u16 {
    let url = fixture.simulator.url() + "/token";
    let app = [GRANT, ("client_id", CLIENT_ID), ("client_secret", secret)];
    let post = fixture.client.post(&url);
    let request = match by {
        ClientAuth::Basic => post
            .basic_auth(CLIENT_ID, Some(secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(&[GRANT])),
        ClientAuth::Form => post.header("content-type", "application/x-www-form-urlencoded").body(form(&app)),
        ClientAuth::Json => {
            let body = json!({ "grant_type": GRANT.1, "client_id": CLIENT_ID, "client_secret": secret });
            post.header("content-type", "application/json").body(body.to_string())
        }
        ClientAuth::Assertion => panic!("no secret"),
        ClientAuth::Query => fixture.client.get(format!("{url}?{}", form(&app))),
    };
    request.send().await.unwrap().status().as_u16()
}

const WAYS: [ClientAuth; 4] = [ClientAuth::Basic, ClientAuth::Form, ClientAuth::Json, ClientAuth::Query];

#[tokio::test]
async fn each_way_works_unless_one_is_insisted_on() {
    let fixture = Fixture::start().await;
    for by in WAYS {
        assert_eq!(ask(&fixture, by, CLIENT_SECRET).await, 200, "{by:?}");
        assert_eq!(ask(&fixture, by, "wrong").await, 401, "{by:?}");
    }
    for only in WAYS {
        fixture.simulator.behave(|behaviour| behaviour.client_auth = Some(only));
        for by in WAYS {
            let expected = if by == only { 200 } else { 401 };
            assert_eq!(
                ask(&fixture, by, CLIENT_SECRET).await,
                expected,
                "{by:?} where only {only:?} is taken"
            );
        }
    }
}

#[tokio::test]
async fn the_second_secret_works_while_it_is_switched_on() {
    let fixture = Fixture::start().await;
    assert_eq!(ask(&fixture, ClientAuth::Basic, SECOND_CLIENT_SECRET).await, 401);
    fixture.simulator.behave(|behaviour| behaviour.second_secret = true);
    assert_eq!(ask(&fixture, ClientAuth::Basic, SECOND_CLIENT_SECRET).await, 200);
    assert_eq!(ask(&fixture, ClientAuth::Basic, CLIENT_SECRET).await, 200);
}

#[tokio::test]
async fn no_secret_two_secrets_and_an_unreadable_body_are_refused() {
    let fixture = Fixture::start().await;
    let response = fixture.post("/token", &[GRANT]).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.headers().contains_key("www-authenticate"));
    let url = fixture.simulator.url() + "/token";
    let app = form(&[GRANT, ("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]);
    let twice = fixture
        .client
        .post(&url)
        .basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(app.clone());
    assert_eq!(twice.send().await.unwrap().status(), 400);
    for (content_type, body) in [("text/plain", app.as_str()), ("application/json", "[1]")] {
        let request = fixture.client.post(&url).header("content-type", content_type).body(body.to_owned());
        let (status, body) = crate::harness::json(request.send().await.unwrap()).await;
        assert_eq!(status, 400);
        assert_eq!(&body["error"], &json!("invalid_request"));
    }
}

#[tokio::test]
async fn tiktok_shops_get_with_its_own_names_works() {
    let fixture = Fixture::with(|behaviour| behaviour.exchange_without_redirect_uri = true).await;
    let code = fixture.code("shop-1").await;
    let query = form(&[
        ("app_key", CLIENT_ID),
        ("app_secret", CLIENT_SECRET),
        ("auth_code", &code),
        ("grant_type", "authorized_code"),
    ]);
    let (status, body) = crate::harness::json(fixture.get(&format!("/token?{query}")).await).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(fixture.me(&text(&body, "access_token")).await, 200);
}

#[tokio::test]
async fn shopifys_json_without_a_grant_type_is_a_code() {
    let fixture = Fixture::start().await;
    let code = fixture.code("shop-1").await;
    let body = json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "code": code, "redirect_uri": CALLBACK });
    let request = fixture.client.post(fixture.simulator.url() + "/token");
    let request = request.header("content-type", "application/json; charset=utf-8").body(body.to_string());
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(fixture.simulator.counts().exchanges, 1);
}
