//! WooCommerce's delivery of API keys.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};

use crate::harness::{Fixture, form, parameters, text, value};

/// An app that receives keys and answers with this status.
async fn app(status: StatusCode) -> (String, Arc<Mutex<Vec<Value>>>) {
    let taken = Arc::<Mutex<Vec<Value>>>::default();
    let keep = Arc::clone(&taken);
    let take = move |body: String| async move {
        keep.lock().unwrap().push(serde_json::from_str(&body).unwrap());
        status
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys?flow=1", listener.local_addr().unwrap());
    tokio::spawn(
        async move { axum::serve(listener, Router::new().route("/keys", post(take))).await.unwrap() },
    );
    (url, taken)
}

fn request<'p>(callback: &'p str, more: &[(&'p str, &'p str)]) -> Vec<(&'p str, &'p str)> {
    let common = [
        ("app_name", "The <vault>"),
        ("scope", "read_write"),
        ("user_id", "flow-1"),
        ("return_url", "http://localhost:9/back?a=b"),
        ("callback_url", callback),
    ];
    [more, &common].concat()
}

#[tokio::test]
async fn keys_are_posted_and_work_until_the_account_revokes_them() {
    let fixture = Fixture::start().await;
    let (callback, taken) = app(StatusCode::OK).await;
    let page = fixture.get(&format!("/wc-auth/v1/authorize?{}", form(&request(&callback, &[])))).await;
    assert!(page.text().await.unwrap().contains("The &lt;vault&gt;"));
    let allow = request(&callback, &[("decision", "allow"), ("account", "shop-5")]);
    let back = fixture.post("/wc-auth/v1/decide", &allow).await.unwrap();
    let pairs = parameters(&back);
    assert_eq!(value(&pairs, "success").as_deref(), Some("1"));
    assert_eq!(value(&pairs, "user_id").as_deref(), Some("flow-1"));
    assert_eq!(value(&pairs, "a").as_deref(), Some("b"));
    let keys = taken.lock().unwrap()[0].clone();
    assert_eq!(&keys["user_id"], &json!("flow-1"));
    assert_eq!(&keys["key_permissions"], &json!("read_write"));
    assert!(keys["key_id"].is_u64());
    let key = text(&keys, "consumer_key");
    let secret = text(&keys, "consumer_secret");
    assert!(key.starts_with("ck_"));
    assert!(secret.starts_with("cs_"));
    assert_eq!(key.len(), 43);
    assert_eq!(secret.len(), 43);
    let me = fixture.simulator.url() + "/me";
    let basic = || fixture.client.get(&me).basic_auth(&key, Some(&secret)).send();
    assert_eq!(basic().await.unwrap().status(), 200);
    let query = form(&[("consumer_key", &key), ("consumer_secret", &secret)]);
    assert!(fixture.get(&format!("/me?{query}")).await.text().await.unwrap().contains("shop-5"));
    assert_eq!(fixture.simulator.counts().keys_delivered, 1);
    fixture.simulator.revoke_account("shop-5");
    assert_eq!(basic().await.unwrap().status(), 401);
}

#[tokio::test]
async fn nothing_is_posted_on_deny() {
    let fixture = Fixture::start().await;
    let (callback, taken) = app(StatusCode::OK).await;
    let deny = request(&callback, &[("decision", "deny")]);
    let back = fixture.post("/wc-auth/v1/decide", &deny).await.unwrap();
    assert_eq!(value(&parameters(&back), "success").as_deref(), Some("0"));
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn keys_that_the_callback_refuses_do_not_work() {
    let fixture = Fixture::start().await;
    let (callback, taken) = app(StatusCode::INTERNAL_SERVER_ERROR).await;
    let allow = request(&callback, &[("decision", "allow"), ("account", "shop-5")]);
    assert_eq!(fixture.post("/wc-auth/v1/decide", &allow).await.unwrap().status(), 400);
    let keys = taken.lock().unwrap()[0].clone();
    let request = fixture.client.get(fixture.simulator.url() + "/me");
    let request = request.basic_auth(text(&keys, "consumer_key"), Some(text(&keys, "consumer_secret")));
    assert_eq!(request.send().await.unwrap().status(), 401);
    assert_eq!(fixture.simulator.counts().keys_delivered, 0);
}

#[tokio::test]
async fn addresses_elsewhere_and_unknown_permissions_get_a_page() {
    let fixture = Fixture::start().await;
    let wrong = [
        ("callback_url", "http://example.com/keys"),
        ("callback_url", "https://127.0.0.1/keys"),
        ("return_url", "https://example.com/"),
        ("scope", "everything"),
        ("user_id", ""),
    ];
    for pair in wrong {
        let query = form(&request("http://127.0.0.1:9/", &[pair]));
        assert_eq!(fixture.get(&format!("/wc-auth/v1/authorize?{query}")).await.status(), 400, "{pair:?}");
    }
}
