//! A real server, `oidc-provider`, with rotation and reuse detection: found, registered at, consented to, refreshed by
//! three replicas with one rotation each time, robbed of a token, consented to again, revoked; and client credentials with
//! `private_key_jwt`. `scripts/test` installs it
//! and says where; without it this test says that it has not run, and fails where `CI` is `true`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use credvault_crypto::SigningKey;
use credvault_proto::v1;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{FILE, at_issuer, begin, setting};
use crate::harness::browser::Browser;
use crate::harness::provider::state;
use crate::harness::{Client, TestVault, VaultBuilder, by_id, eventually, input, refusal};

/// The server, in a process of its own. Stopped when dropped.
struct Peer {
    child: Child,
    issuer: String,
    http: reqwest::Client,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder with `oidc-provider` in it.
fn node_modules() -> Option<PathBuf> {
    let given = std::env::var_os("CREDVAULT_TEST_NODE_MODULES").map(PathBuf::from);
    let folder =
        given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/node_modules"));
    folder.join("oidc-provider").is_dir().then_some(folder)
}

impl Peer {
    fn start(node_modules: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/oidc/server.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(node_modules).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut issuer = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut issuer).unwrap();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { child, issuer: issuer.trim().to_owned(), http }
    }

    async fn counts(&self) -> Value {
        let answer = self.http.get(format!("{}/counts", self.issuer)).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// Sends a refresh token that the server has seen, `spent` or `newest`, past the vault: the code of the refusal.
    async fn refuses(&self, which: &str) -> String {
        let answer = self.http.post(format!("{}/present/{which}", self.issuer)).send().await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        answer["error"].as_str().unwrap_or("none").to_owned()
    }

    /// Registers a client for client credentials; its id.
    async fn register(&self, jwk: &serde_json::Map<String, Value>) -> String {
        let asked = json!({
            "grant_types": ["client_credentials"], "redirect_uris": [], "response_types": [],
            "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [jwk] },
        });
        let request =
            self.http.post(format!("{}/reg", self.issuer)).header("content-type", "application/json");
        let answer = request.body(asked.to_string()).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["client_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Logs in and consents, as a person would on the server's pages: what the callback is called with.
    async fn consent(&self, url: &str, user: &str) -> BTreeMap<String, String> {
        let (mut url, mut cookies, mut form) = (url.to_owned(), BTreeMap::new(), None);
        for _ in 0..20 {
            let request = match form.take() {
                Some(form) => {
                    let post = self.http.post(&url).body::<String>(form);
                    post.header("content-type", "application/x-www-form-urlencoded")
                }
                None => self.http.get(&url),
            };
            let held: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let answer = request.header("cookie", held.join("; ")).send().await.unwrap();
            for cookie in answer.headers().get_all("set-cookie") {
                let pair = cookie.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                cookies.insert(name.to_owned(), value.to_owned());
            }
            if let Some(location) = answer.headers().get("location") {
                let next = url::Url::parse(&url).unwrap().join(location.to_str().unwrap()).unwrap();
                if next.path().starts_with("/oauth/callback/") {
                    return next.query_pairs().into_owned().collect();
                }
                url = next.to_string();
                continue;
            }
            // One page asks who it is, the next one whether that is wanted.
            let page = answer.text().await.unwrap();
            let prompt = if page.contains("name=\"login\"") { "login" } else { "consent" };
            form = Some(format!("prompt={prompt}&login={user}&password=any"));
        }
        panic!("the server asks on and on: {url}");
    }
}

/// A vault that knows the shipped provider file, but that servers of this machine speak plain HTTP.
async fn vault() -> TestVault {
    let plain = "pattern = '^https?://[!-~]{1,2000}$'";
    let file = FILE.replace("type = \"https_url\"", plain).replace("'^https://", "'^https?://");
    let patience = Duration::from_secs(60);
    let builder = VaultBuilder::postgres().provider_file("oidc", &file).allow_loopback();
    let builder = builder.store_timeouts(patience).settings(|settings, _| {
        settings.store.lock_timeout_ms = 60_000;
        settings.store.max_connections = 8;
        settings.public.address = "127.0.0.1:0".parse().unwrap();
        settings.public.url = Some("http://localhost:7480".into());
        settings.public.origins = vec![super::ORIGIN.into()];
    });
    builder.start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "a run without the peer must say so")]
async fn a_real_server_is_connected_refreshed_once_by_three_replicas_robbed_and_revoked() {
    let Some(node_modules) = node_modules() else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "oidc-provider is not installed");
        eprintln!("NOT RUN: oidc-provider is not in target/tools/node_modules; scripts/test installs it");
        return;
    };
    let mut vault = vault().await;
    let peer = Peer::start(&node_modules);
    let app = vault.app("acme").await;
    let id = app.create(at_issuer("oauth2_code", &peer.issuer, &[])).await.unwrap().id;
    let address = vault.instance.as_ref().unwrap().public_address.unwrap();
    let connected = connect(address, &app, &peer, &id).await;
    assert_eq!(connected.external_account_id, "user-1", "the subject of the ID token");
    let endpoint = setting(&connected, "token_endpoint").unwrap();
    assert!(endpoint.starts_with(&peer.issuer), "{endpoint}");
    let tested = v1::TestConnectionRequest { connection_id: id.clone() };
    app.connections().test_connection(tested).await.unwrap();

    let mut replicas = vec![vault.instance.take().unwrap()];
    let mut clients = vec![app.clone()];
    for _ in 0..2 {
        vault.start().await;
        clients.push(vault.client("app").await.acting_for("acme", None));
        replicas.push(vault.instance.take().unwrap());
    }
    for _ in 0..3 {
        refreshed_once(&vault, &clients, &peer, &id).await;
        clients.rotate_left(1);
    }
    let counts = peer.counts().await;
    assert_eq!((&counts["reuses"], &counts["errors"]), (&json!(0), &json!(0)), "{counts}");
    assert_eq!(counts["registrations"], 1, "{counts}");
    assert_eq!(counts["authentications"]["private_key_jwt"], counts["grants"], "{counts}");

    own_client(&app, &peer).await;
    robbed(&app, &peer, &id).await;
    connect(address, &app, &peer, &id).await;
    app.fetch(by_id(&id)).await.unwrap();
    let before = peer.counts().await["revoked"].as_u64();
    let disconnect = v1::DisconnectConnectionRequest { connection_id: id.clone(), ..Default::default() };
    app.connections().disconnect_connection(disconnect).await.unwrap();
    eventually("the revocation", || async { peer.counts().await["revoked"].as_u64() > before }).await;
    assert_eq!(peer.refuses("newest").await, "invalid_grant");
    assert_eq!(peer.counts().await["reuses"], 1, "it was never used, and is refused for the revocation");
    for replica in replicas {
        replica.stop().await;
    }
}

/// The access token lives for 40 s, and one with 30 s or less is refreshed first. The first client's call is the first.
async fn refreshed_once(vault: &TestVault, clients: &[Client], peer: &Peer, id: &str) {
    let before = clients[0].fetch(by_id(id)).await.unwrap().fields["access_token"].clone();
    let refreshes = async || peer.counts().await["refreshes"].as_u64().unwrap();
    let granted = refreshes().await;
    vault.clock.advance(Duration::from_secs(15));
    let fetches = (0..48).map(|i| clients[i % clients.len()].fetch(by_id(id)));
    let fetched = futures::future::join_all(fetches).await;
    let tokens: BTreeSet<_> =
        fetched.into_iter().map(|credential| credential.unwrap().fields["access_token"].clone()).collect();
    assert_eq!(tokens.len(), 1, "all callers have the same new token");
    assert!(!tokens.contains(&before));
    assert_eq!(refreshes().await - granted, 1);
}

/// A refresh token that was used before comes once more, and not from the vault. The server notices it and ends the grant,
/// so that counting no such use above means something; the vault says what helps.
async fn robbed(app: &Client, peer: &Peer, id: &str) {
    assert_eq!(peer.refuses("spent").await, "invalid_grant");
    assert_eq!(peer.counts().await["reuses"], 1);
    let refresh = v1::RefreshConnectionRequest { connection_id: id.to_owned() };
    let ended = app.connections().refresh_connection(refresh).await.unwrap_err();
    assert_eq!(refusal(&ended), "FailedPrecondition REAUTHORIZATION_REQUIRED", "{ended:?}");
    assert_eq!(state(app, id).await.0, v1::ConnectionState::Error);
    assert_eq!(peer.counts().await["reuses"], 1, "the vault's own token was not used before");
}

/// Consents in a browser, through the vault's own port.
async fn connect(address: SocketAddr, app: &Client, peer: &Peer, id: &str) -> v1::Connection {
    let begun = begin(app, id).await.unwrap();
    let mut browser = Browser::at(&format!("http://{address}"));
    let started = browser.start(&begun).await;
    assert_eq!(started.status, 303, "{}", started.body);
    let url = started.headers["location"].to_str().unwrap();
    let asked: BTreeMap<_, _> = url::Url::parse(url).unwrap().query_pairs().into_owned().collect();
    let path = asked["redirect_uri"].strip_prefix("http://localhost:7480").unwrap().to_owned();
    let parameters = peer.consent(url, "user-1").await;
    assert_eq!(parameters["iss"], peer.issuer);
    let page = browser.get(&path, &parameters).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let request = v1::CompleteAuthorizationRequest {
        session: "session-1".to_owned(),
        result: page.data("result"),
        ..Default::default()
    };
    app.connections().complete_authorization(request).await.unwrap().into_inner().connection.unwrap()
}

/// A connection whose own client proves who it is with a key.
async fn own_client(app: &Client, peer: &Peer) {
    let (pem, jwk) = SigningKey::generate("key-1").unwrap();
    let client = peer.register(&jwk).await;
    let mut create = at_issuer("oauth2_client_credentials", &peer.issuer, &[("client_id", &client)]);
    create.credential = Some(input(&[("private_key", pem.expose_secret())]));
    let id = app.create(create).await.unwrap().id;
    assert!(app.fetch(by_id(&id)).await.unwrap().fields.contains_key("access_token"));
    let tested = v1::TestConnectionRequest { connection_id: id.clone() };
    app.connections().test_connection(tested).await.unwrap();
    assert_eq!(state(app, &id).await.0, v1::ConnectionState::Connected);
}
