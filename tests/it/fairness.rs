//! One hostile tenant does everything wrong, with a thousand connections, and another one hardly notices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use credvault_domain::Clock as _;
use credvault_proto::v1;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::harness::provider::{app_request, connection_request, provider_file};
use crate::harness::{Client, TestVault, VaultBuilder, by_id, eventually, generic, input, refusal};

/// How many connections the hostile tenant has.
const CONNECTIONS: usize = 1000;
/// How many fetches and refreshes of the other tenant are timed, alone and beside it.
const FETCHES: usize = 200;
const REFRESHES: usize = 30;
/// What is taken for noise. A debug build needs so much of the processor for the hostile tenant's calls that two cores do not
/// suffice; a release build has to do with what a small machine's scheduler costs.
const NOISE: (Duration, Duration) = match cfg!(debug_assertions) {
    true => (Duration::from_millis(200), Duration::from_millis(500)),
    false => (Duration::from_millis(10), Duration::from_millis(50)),
};

/// A provider that answers each refresh token as its name says.
async fn provider() -> (String, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let token = move |body: String| {
        let count = Arc::clone(&count);
        async move {
            let form: BTreeMap<_, _> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            let token = form.get("refresh_token").cloned().unwrap_or_default();
            let (kind, _) = token.split_once('-').unwrap_or_default();
            if kind != "good" && form.get("grant_type").is_some_and(|grant| grant == "refresh_token") {
                count.fetch_add(1, Ordering::SeqCst);
            }
            answer(kind, &token).await
        }
    };
    let key = |Path(_): Path<String>| async { StatusCode::NOT_FOUND };
    let router = Router::new().route("/token", post(token)).route("/key/{id}", get(key));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

/// What is wrong with the hostile tenant's connections.
const WRONG: [&str; 5] = ["client", "busy", "gateway", "garbage", "slow"];

async fn answer(kind: &str, token: &str) -> Response {
    let json = [("content-type", "application/json")];
    match kind {
        "client" => (StatusCode::UNAUTHORIZED, json, r#"{"error":"unauthorized_client"}"#).into_response(),
        "busy" => {
            let headers = [("content-type", "application/json"), ("retry-after", "900")];
            (StatusCode::TOO_MANY_REQUESTS, headers, "{}").into_response()
        }
        "gateway" => (StatusCode::BAD_GATEWAY, "<h1>Bad gateway</h1>").into_response(),
        "garbage" => (StatusCode::OK, "<!doctype html><title>Sign in</title>").into_response(),
        "slow" => {
            tokio::time::sleep(Duration::from_secs(4)).await;
            (StatusCode::SERVICE_UNAVAILABLE, "later").into_response()
        }
        _ => {
            let body = format!(
                r#"{{"access_token":"CANARY fresh {token}","refresh_token":"{token}","expires_in":3600}}"#
            );
            (StatusCode::OK, json, body).into_response()
        }
    }
}

struct Scene {
    vault: TestVault,
    hostile: Client,
    victim: Client,
    /// The hostile tenant's connections.
    ids: Vec<String>,
    asked: Arc<AtomicU64>,
}

impl Scene {
    async fn new() -> Self {
        let (url, asked) = provider().await;
        let keys = format!(
            "[webhooks.published]\nscheme = 'ebay'\n[webhooks.published.public_keys]\n\
             token = {{ url = '{url}/token', basic = {{ user = '{{app.client_id}}', password = '{{app.client_secret}}' }},\
              form = {{ grant_type = 'client_credentials' }} }}\n\
             key = {{ url = '{url}/key/{{flow.key_id}}', headers = {{ Authorization = 'Bearer {{flow.token}}' }} }}\n"
        );
        let file = provider_file(&url, &format!("rotates = 'no'\n{keys}"));
        // A small machine may have other things to do: what counts here is who waits, and not what is given up.
        let builder = VaultBuilder::postgres().store_timeouts(Duration::from_secs(30));
        let vault = builder.provider_file("simulator", &file).allow_loopback().start().await;
        vault.client("operator").await.admin().put_o_auth_app(app_request()).await.unwrap();
        let hostile = vault.app("hostile").await;
        let victim = vault.app("victim").await;
        Self { vault, hostile, victim, ids: Vec::new(), asked }
    }

    /// A connection whose access token has ended.
    async fn ended(&self, client: &Client, account: &str, refresh_token: &str) -> String {
        self.with_token(client, account, refresh_token, -60).await
    }

    /// A connection whose access token has `left` seconds to live.
    async fn with_token(&self, client: &Client, account: &str, refresh_token: &str, left: i64) -> String {
        let fields = [("access_token", "CANARY old"), ("refresh_token", refresh_token)];
        let seconds = self.vault.clock.now().seconds() + left;
        let expire = v1::credential_input::Expiry::ExpireTime(prost_types::Timestamp { seconds, nanos: 0 });
        let id = client.create(connection_request(account)).await.unwrap().id;
        let credential = Some(v1::CredentialInput { expiry: Some(expire), ..input(&fields) });
        let put = v1::PutCredentialRequest { connection_id: id.clone(), credential, ..Default::default() };
        client.vault().put_credential(put).await.unwrap();
        id
    }

    /// The 99th percentiles of the other tenant's fetches, and of its refreshes: from a token that has ended to a new one.
    async fn measure(&self, round: &str) -> (Duration, Duration) {
        let key = self.victim.create(generic(round, "CANARY key")).await.unwrap().id;
        let mut fetches = Vec::new();
        let mut refreshes = Vec::new();
        for _ in 0..FETCHES {
            let begun = Instant::now();
            self.victim.fetch(by_id(&key)).await.unwrap();
            fetches.push(begun.elapsed());
        }
        for number in 0..REFRESHES {
            let token = format!("good-{round}-{number}");
            let id = self.ended(&self.victim, &token, &token).await;
            let begun = Instant::now();
            let fetched = self.victim.fetch(by_id(&id)).await.unwrap();
            refreshes.push(begun.elapsed());
            assert_eq!(fetched.fields["access_token"], format!("CANARY fresh {token}"));
        }
        (percentile(fetches), percentile(refreshes))
    }

    /// What the hostile tenant's services do, on a machine of its own: elsewhere its computing costs the vault nothing,
    /// so its thread yields to all others.
    fn attack(&self, stop: &CancellationToken) -> std::thread::JoinHandle<()> {
        let address = self.vault.address();
        let authority = self.vault.authority.pem().to_owned();
        let leaf = self.vault.authority.service("spiffe://test.local/app");
        let ids = self.ids.clone();
        let clock = self.vault.clock.clone();
        let stop = stop.clone();
        let attacking = async move {
            let mut workers = tokio::task::JoinSet::new();
            // Time passes, so that what has failed is tried again.
            let end = stop.clone();
            workers.spawn(async move {
                let mut ticks = tokio::time::interval(Duration::from_millis(100));
                while end.run_until_cancelled(ticks.tick()).await.is_some() {
                    clock.advance(Duration::from_millis(100));
                }
            });
            for worker in 0..12 {
                let client = Client::connect(address, &authority, Some(&leaf)).await.unwrap();
                let client = client.acting_for("hostile", None);
                let ids = ids.clone();
                let stop = stop.clone();
                workers.spawn(async move {
                    let mut ticks = tokio::time::interval(Duration::from_millis(50));
                    for number in (worker * 83).. {
                        if stop.run_until_cancelled(ticks.tick()).await.is_none() {
                            return;
                        }
                        // However that ends: most of it is refused.
                        let doing = mischief(&client, worker, number, &ids[number % ids.len()]);
                        stop.run_until_cancelled(doing).await;
                    }
                });
            }
            while workers.join_next().await.is_some() {}
        };
        std::thread::spawn(|| {
            rustix::process::nice(19).unwrap();
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(attacking);
        })
    }
}

async fn mischief(client: &Client, worker: usize, number: usize, id: &str) {
    match worker {
        0..4 => {
            let request = v1::RefreshConnectionRequest { connection_id: id.to_owned() };
            let _ = client.connections().refresh_connection(request).await;
        }
        4..8 => {
            let _ = client.fetch(by_id(id)).await;
        }
        8..10 => {
            let group_by = vec![v1::AuditGroup::Connection.into(), v1::AuditGroup::Day.into()];
            let request = v1::SummarizeAuditEventsRequest { group_by, ..Default::default() };
            let _ = client.audit().summarize_audit_events(request).await;
        }
        10 => {
            let request = v1::ListConnectionsRequest { page_size: 500, ..Default::default() };
            let _ = client.connections().list_connections(request).await;
        }
        _ => {
            let _ = client.vault().verify_webhook(webhook(id, &format!("made-up-{number}"))).await;
        }
    }
}

/// A delivery that names a key, which has to be looked up.
fn webhook(id: &str, key: &str) -> v1::VerifyWebhookRequest {
    let signature = format!(r#"{{"alg":"ecdsa","kid":"{key}","signature":"MAYCAQECAQE=","digest":"SHA1"}}"#);
    let value = base64::engine::general_purpose::STANDARD.encode(signature);
    v1::VerifyWebhookRequest {
        connection_id: id.to_owned(),
        webhook: "published".to_owned(),
        headers: vec![v1::WebhookHeader { name: "x-ebay-signature".to_owned(), value }],
        body: b"{}".to_vec(),
        ..Default::default()
    }
}

fn percentile(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100 - 1]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "what was measured is worth reading")]
async fn a_tenant_that_does_everything_wrong_costs_another_hardly_anything() {
    let mut scene = Scene::new().await;
    let alone = scene.measure("alone").await;
    let scene_ref = &scene;
    let creating = futures::stream::iter(0..CONNECTIONS).map(|number| async move {
        let wrong = WRONG[number % WRONG.len()];
        let account = format!("shop-{number}");
        let token = format!("{wrong}-{number}");
        scene_ref.with_token(&scene_ref.hostile, &account, &token, 900).await
    });
    scene.ids = creating.buffer_unordered(8).collect().await;
    // All of them end in the same moment, and not while they are made.
    for sql in [
        "UPDATE credential_versions SET expire_time = 1 WHERE tenant_id = 'hostile'",
        "UPDATE connections SET expire_time = 1 WHERE tenant_id = 'hostile'",
        "UPDATE refreshes SET due_time = 1 WHERE tenant_id = 'hostile'",
    ] {
        scene.vault.sql(sql).await;
    }
    let stop = CancellationToken::new();
    let attack = scene.attack(&stop);
    eventually("the attack has begun", || async { scene.asked.load(Ordering::SeqCst) >= 3 }).await;
    let beside = scene.measure("beside").await;

    // The other tenant looks up keys, too: an unknown key is refused as unknown, and not for lack of look-ups.
    let id = scene.ended(&scene.victim, "webhooks", "good-webhooks").await;
    let looked_up = scene.victim.vault().verify_webhook(webhook(&id, "of-the-victim")).await;
    assert_eq!(looked_up.unwrap().into_inner().verdict(), v1::WebhookVerdict::Invalid);
    // Who insists is let through, as often as anybody may.
    let request = v1::RefreshConnectionRequest { connection_id: id };
    scene.victim.connections().refresh_connection(request).await.unwrap();
    let insisting = v1::RefreshConnectionRequest { connection_id: scene.ids[0].clone() };
    let mut limited = false;
    for _ in 0..200 {
        let refused = scene.hostile.connections().refresh_connection(insisting.clone()).await.unwrap_err();
        limited = refusal(&refused) == "ResourceExhausted RATE_LIMITED";
        if limited {
            break;
        }
    }
    assert!(limited, "refreshes without end");
    stop.cancel();
    attack.join().unwrap();
    scene.vault.stop().await;

    println!("p99 of fetches and refreshes: alone {alone:?}, beside a hostile tenant {beside:?}");
    assert!(beside.0 <= (alone.0 * 2).max(NOISE.0), "fetches: {alone:?}, {beside:?}");
    assert!(beside.1 <= (alone.1 * 2).max(NOISE.1), "refreshes: {alone:?}, {beside:?}");
}
