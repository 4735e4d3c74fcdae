//! Tokens over the wire: keys from a file and from a URL, every trick, Clerk's claims, assertions bound to the caller.

use std::sync::{Arc, Mutex};

use credvault::settings::{IssuerKindSetting, IssuerSection};
use credvault_domain::Clock as _;
use credvault_proto::v1;
use credvault_testkit::{Algorithm, TokenIssuer};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{Client, TestVault, VaultBuilder, by_provider, generic, refusal};

const ISSUER: &str = "https://login.test.local";

fn section(file: &std::path::Path) -> IssuerSection {
    IssuerSection {
        name: "login".into(),
        issuer: ISSUER.into(),
        jwks_file: Some(file.to_owned()),
        audiences: vec!["credvault".into()],
        tenant_claim: "org.id".into(),
        ..IssuerSection::default()
    }
}

/// A vault that trusts this issuer's keys, and the gateway, which bears tokens.
async fn trusting(
    keys: &TokenIssuer,
    change: impl FnOnce(&mut IssuerSection) + Send + 'static,
) -> (TestVault, Client) {
    let builder = VaultBuilder::sqlite().file("jwks.json", &keys.jwks()).settings(|settings, folder| {
        let mut section = section(&folder.join("jwks.json"));
        change(&mut section);
        settings.identity.issuers.push(section);
    });
    let vault = builder.start().await;
    vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap();
    let gateway = vault.client("gateway").await;
    (vault, gateway)
}

fn claims(vault: &TestVault) -> Value {
    let now = vault.clock.now().micros() / 1_000_000;
    json!({ "iss": ISSUER, "aud": "credvault", "sub": "u1", "org": { "id": "acme" }, "iat": now, "nbf": now, "exp": now + 300 })
}

fn altered(claims: &Value, key: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[key] = value;
    claims
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_algorithm_is_accepted_and_each_trick_refused() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let keys = TokenIssuer::new(algorithm, "k1");
        let (vault, gateway) = trusting(&keys, |_| {}).await;
        let good = claims(&vault);
        let fetch = async |token: &str| gateway.bearing(token).token(by_provider("generic")).await;
        assert_eq!(fetch(&keys.token(&good)).await.unwrap(), "CANARY", "{algorithm:?}");

        let now = vault.clock.now().micros() / 1_000_000;
        let mut wrong = vec![
            ("none", TokenIssuer::unsigned(&good)),
            ("HS256 with the public key", keys.confused(&good)),
            ("another key of the same id", TokenIssuer::new(Algorithm::Es256, "k1").token(&good)),
            ("unknown kid", TokenIssuer::new(Algorithm::Es256, "k2").token(&good)),
            ("not a token", "CANARY".to_owned()),
        ];
        for (what, key, value) in [
            ("audience", "aud", json!("somebody else")),
            ("expired", "exp", json!(now - 60)),
            ("not yet", "nbf", json!(now + 3600)),
            ("issuer", "iss", json!("https://elsewhere.test")),
            ("too long a life", "exp", json!(now + 100_000)),
            ("no user", "sub", Value::Null),
            ("no tenant id", "org", json!({ "id": "not a tenant" })),
        ] {
            wrong.push((what, keys.token(&altered(&good, key, value))));
        }
        let mut tampered = keys.token(&good);
        tampered.truncate(tampered.len() - 2);
        wrong.push(("tampered", tampered));
        for (what, token) in wrong {
            let status = fetch(&token).await.unwrap_err();
            assert_eq!(refusal(&status), "Unauthenticated TOKEN_INVALID", "{algorithm:?} {what}");
            assert!(!format!("{status:?}").contains(&token));
        }
        // A sound token of a user without an organisation names no tenant.
        let homeless = fetch(&keys.token(&altered(&good, "org", json!({})))).await.unwrap_err();
        assert_eq!(refusal(&homeless), "Unauthenticated TENANT_MISSING");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_and_headers_must_agree() {
    let keys = TokenIssuer::new(Algorithm::Es256, "k1");
    let (vault, gateway) = trusting(&keys, |_| {}).await;
    let bearer = gateway.bearing(&keys.token(&claims(&vault)));
    let agreeing = bearer.with("x-tenant-id", "acme").with("x-user-id", "u1");
    assert!(agreeing.fetch(by_provider("generic")).await.is_ok());
    for (name, value) in [("x-tenant-id", "other"), ("x-user-id", "u2")] {
        let status = bearer.with(name, value).fetch(by_provider("generic")).await.unwrap_err();
        assert_eq!(refusal(&status), "PermissionDenied TENANT_MISMATCH");
    }
    // The user is the token's.
    let mut own = generic("own", "CANARY own");
    own.owner = None;
    assert_eq!(bearer.create(own).await.unwrap().owner.unwrap().user_id, "u1");
    let fetched = bearer.events().await;
    assert!(fetched.iter().all(|event| event.tenant_source == "token" && event.user_id == "u1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clerks_tokens_work_as_they_are() {
    let keys = TokenIssuer::new(Algorithm::Rs256, "ins_1");
    let (vault, gateway) = trusting(&keys, |section| {
        section.audience_claim = "azp".into();
        section.audiences = vec!["https://app.acme.test".into()];
        section.tenant_claim = "o.id".into();
    })
    .await;
    let now = vault.clock.now().micros() / 1_000_000;
    let clerk = json!({
        "azp": "https://app.acme.test", "exp": now + 60, "fva": [1, -1], "iat": now, "iss": ISSUER, "nbf": now - 10,
        "o": { "id": "acme", "rol": "admin", "slg": "acme-inc" }, "sid": "sess_1", "sub": "user_2abC", "v": 2,
    });
    let bearer = gateway.bearing(&keys.token(&clerk));
    assert_eq!(bearer.token(by_provider("generic")).await.unwrap(), "CANARY");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_is_good_for_its_own_service_only() {
    let keys = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let (vault, gateway) = trusting(&keys, |section| section.kind = IssuerKindSetting::Assertion).await;
    let bound = altered(&claims(&vault), "act", json!({ "sub": "spiffe://test.local/gateway" }));
    let token = keys.token(&bound);
    assert_eq!(gateway.bearing(&token).token(by_provider("generic")).await.unwrap(), "CANARY");
    let thief = vault.client("app").await.bearing(&token);
    assert_eq!(
        refusal(&thief.fetch(by_provider("generic")).await.unwrap_err()),
        "Unauthenticated TOKEN_INVALID"
    );
    let unbound = gateway.bearing(&keys.token(&claims(&vault)));
    assert_eq!(
        refusal(&unbound.fetch(by_provider("generic")).await.unwrap_err()),
        "Unauthenticated TOKEN_INVALID"
    );
    let event = gateway.bearing(&token).events().await.remove(0);
    assert_eq!(event.action.as_str(), "FetchCredential");
    assert_eq!(event.tenant_source.as_str(), "assertion");
}

/// The `traceparent` and the `tracestate` of each request.
type Requests = Arc<Mutex<Vec<(Option<String>, Option<String>)>>>;

/// An issuer's server of keys: its URL, the requests so far, and the task that serves.
async fn key_server(document: Arc<Mutex<String>>) -> (String, Requests, JoinHandle<()>) {
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    let keys = axum::Router::new().route(
        "/keys",
        axum::routing::get(move |headers: http::HeaderMap| async move {
            let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            seen.lock().unwrap().push((text("traceparent"), text("tracestate")));
            document.lock().unwrap().clone()
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    (url, requests, tokio::spawn(async move { axum::serve(listener, keys).await.unwrap() }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_fetched_once_and_an_unknown_one_asks_again_at_most_once_a_minute() {
    let old = TokenIssuer::new(Algorithm::Es256, "old");
    let new = TokenIssuer::new(Algorithm::Es256, "new");
    let document = Arc::new(Mutex::new(old.jwks()));
    let (url, requests, server) = key_server(Arc::clone(&document)).await;
    let asked = || requests.lock().unwrap().len();
    let (vault, gateway) = trusting(&old, |section| {
        section.jwks_file = None;
        section.jwks_url = Some(url);
    })
    .await;
    // The background refresh may have come first; from here on the count is exact.
    let fetch = async |keys: &TokenIssuer| {
        gateway.bearing(&keys.token(&claims(&vault))).token(by_provider("generic")).await
    };
    assert_eq!(fetch(&old).await.unwrap(), "CANARY");
    let first = asked();
    assert!(
        requests.lock().unwrap().iter().all(|(parent, _)| parent.is_some()),
        "our own requests name a trace"
    );
    for _ in 0..5 {
        fetch(&old).await.unwrap();
        assert_eq!(refusal(&fetch(&new).await.unwrap_err()), "Unauthenticated TOKEN_INVALID");
    }
    assert_eq!(asked(), first, "asked a moment ago");
    *document.lock().unwrap() = new.jwks();
    vault.clock.advance(std::time::Duration::from_secs(61));
    let trace = "00-0af7651916cd43dd8448eb211c80319c";
    let caller = gateway
        .bearing(&new.token(&claims(&vault)))
        .with("traceparent", &format!("{trace}-b7ad6b7169203331-00"))
        .with("tracestate", "vendor=opaque");
    assert_eq!(caller.token(by_provider("generic")).await.unwrap(), "CANARY");
    assert_eq!(asked(), first + 1);
    let (parent, state) = requests.lock().unwrap().last().cloned().unwrap();
    let parent = parent.unwrap();
    assert!(parent.starts_with(trace), "the caller's trace, not sampled: {parent}");
    assert!(parent.ends_with("-00"), "the caller's trace, not sampled: {parent}");
    assert_eq!(state.as_deref(), Some("vendor=opaque"));
    server.abort();
    vault.clock.advance(std::time::Duration::from_secs(700));
    assert_eq!(fetch(&new).await.unwrap(), "CANARY", "known keys last while the issuer is away");
    let request = v1::ListConnectionsRequest::default();
    assert!(
        gateway.bearing(&new.token(&claims(&vault))).connections().list_connections(request).await.is_ok()
    );
}
