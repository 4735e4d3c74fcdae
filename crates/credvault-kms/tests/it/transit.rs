//! The engine `transit` of a real OpenBao.

mod logins;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use credvault_crypto::{KeyManager as _, Versioning};
use credvault_kms::{GuardSettings, Guarded, OpenBaoLogin, OpenBaoSettings, Transit, TransitSettings};
use credvault_testkit::OpenBao;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    PLACE, PLAIN, assert_only_as_wrapped, assert_unwraps, kind_of, logs, unwrap_error, wrap, wrap_error,
};

/// What the documentation of [`Transit`] says that a policy needs.
const POLICY: &str = r#"
path "transit/encrypt/credvault" { capabilities = ["update"] }
path "transit/decrypt/credvault" { capabilities = ["update"] }
path "transit/keys/credvault" { capabilities = ["read"] }
path "transit/keys/credvault/rotate" { capabilities = ["update"] }
path "transit/keys/credvault/config" { capabilities = ["update"] }
path "transit/keys/credvault/trim" { capabilities = ["update"] }
"#;

/// A server with the key `credvault`, and the files of logins.
struct Peer {
    bao: OpenBao,
    files: TempDir,
}

impl Peer {
    fn start() -> Option<Self> {
        logs::start();
        let bao = OpenBao::start()?;
        bao.write("sys/mounts/transit", &json!({ "type": "transit" }));
        bao.write("transit/keys/credvault", &json!({ "type": "aes256-gcm96" }));
        bao.policy("credvault", POLICY);
        Some(Self { bao, files: tempfile::tempdir().unwrap() })
    }

    /// Writes a file and gives its path.
    fn file(&self, name: &str, content: &str) -> std::path::PathBuf {
        let path = self.files.path().join(name);
        // At once, as agents do it: a reader sees the old content or the new.
        std::fs::write(path.with_extension("new"), content).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
        path
    }

    /// A token of the policy, in a file.
    fn token_file(&self) -> OpenBaoLogin {
        OpenBaoLogin::TokenFile(self.file("token", &self.bao.token(&["credvault"], "1h")))
    }

    async fn transit(&self, key: &str, login: OpenBaoLogin) -> Transit {
        Transit::connect(settings(&self.bao.address(), None, key, login)).await.unwrap()
    }
}

fn settings(address: &str, ca_file: Option<&Path>, key: &str, login: OpenBaoLogin) -> TransitSettings {
    let ca_file = ca_file.map(Path::to_owned);
    let openbao = OpenBaoSettings { address: address.to_owned(), namespace: None, ca_file, login };
    TransitSettings { openbao, mount: "transit".to_owned(), key: key.to_owned() }
}

#[tokio::test]
async fn what_is_wrapped_unwraps_in_its_place_only_and_while_its_version_lives() {
    let Some(peer) = Peer::start() else { return };
    let transit = peer.transit("credvault", peer.token_file()).await;
    assert_eq!((transit.kind(), transit.key_name()), ("transit", "transit/credvault"));
    let first = wrap(&transit).await;
    assert!(first.starts_with(b"vault:v1:"));
    assert_unwraps(&transit, &first).await;
    assert_only_as_wrapped(&transit, &first).await;

    assert!(matches!(transit.find_older_versions().await, Ok(Versioning::ByHand(_))));
    assert_eq!(transit.add_version().await, Ok(Versioning::Done));
    assert_eq!(transit.find_older_versions().await, Ok(Versioning::Done));
    let second = wrap(&transit).await;
    assert!(second.starts_with(b"vault:v2:"));
    assert_unwraps(&transit, &first).await;
    assert_unwraps(&transit, &second).await;

    assert_eq!(transit.destroy_older_versions().await, Ok(Versioning::Done));
    assert_eq!(unwrap_error(&transit, &PLACE, &first).await, "foreign");
    assert_unwraps(&transit, &second).await;
    let kept = peer.bao.read("transit/keys/credvault");
    assert_eq!(kept["data"]["min_available_version"], 2, "the first version is destroyed, not only refused");
    assert_eq!(transit.destroy_older_versions().await, Ok(Versioning::Done), "once more does no harm");
    assert!(matches!(transit.find_older_versions().await, Ok(Versioning::ByHand(_))), "they are gone");
    assert_eq!(transit.add_version().await, Ok(Versioning::Done));
    assert!(wrap(&transit).await.starts_with(b"vault:v3:"));

    peer.bao.write("transit/keys/other", &json!({}));
    let root = OpenBaoLogin::TokenFile(peer.file("root", peer.bao.root_token()));
    let other = peer.transit("other", root).await;
    assert_eq!(unwrap_error(&other, &PLACE, &second).await, "foreign", "another key");
    logs::assert_nothing_secret(&[peer.bao.root_token()]);
}

#[tokio::test]
async fn a_key_that_is_of_no_use_is_named_and_none_is_made_by_mistake() {
    let Some(peer) = Peer::start() else { return };
    // With this token, the engine would make a key that is not there.
    let root = || OpenBaoLogin::TokenFile(peer.file("root", peer.bao.root_token()));
    assert_eq!(wrap_error(&peer.transit("missing", root()).await).await, "key");
    assert_eq!(peer.bao.request("GET", "transit/keys/missing", &json!(null)).0, 404);
    peer.bao.write("transit/keys/signing", &json!({ "type": "ed25519" }));
    peer.bao.write("transit/keys/derived", &json!({ "type": "aes256-gcm96", "derived": true }));
    for key in ["signing", "derived"] {
        let transit = peer.transit(key, root()).await;
        let error = transit.wrap(&PLACE, PLAIN).await.unwrap_err();
        assert_eq!(kind_of(&error), "key");
        assert!(error.to_string().contains(&format!("transit/{key}")), "{error}");
    }

    let transit = peer.transit("credvault", root()).await;
    let wrapped = wrap(&transit).await;
    peer.bao.write("transit/keys/credvault/config", &json!({ "deletion_allowed": true }));
    assert_eq!(peer.bao.request("DELETE", "transit/keys/credvault", &json!(null)).0, 204);
    assert_eq!(unwrap_error(&transit, &PLACE, &wrapped).await, "key", "it was there and is lost");

    peer.bao.write("transit/keys/open", &json!({ "exportable": true }));
    let open = peer.transit("open", root()).await;
    assert!(!logs::has("can be taken out of the key manager"));
    wrap(&open).await;
    assert!(logs::has("can be taken out of the key manager"));

    let mut elsewhere = settings(&peer.bao.address(), None, "credvault", root());
    elsewhere.mount = "nowhere".to_owned();
    assert_eq!(wrap_error(&Transit::connect(elsewhere).await.unwrap()).await, "key");
}

#[tokio::test]
async fn settings_of_no_use_are_refused_without_a_call() {
    logs::start();
    let login = || OpenBaoLogin::TokenFile("/nowhere/CANARY".into());
    let with = |change: fn(&mut TransitSettings)| {
        let mut settings = settings("https://localhost:1", None, "credvault", login());
        change(&mut settings);
        settings
    };
    for wrong in [
        with(|settings| settings.openbao.address = "http://bao.example:8200".to_owned()),
        with(|settings| settings.openbao.namespace = Some("a b".to_owned())),
        with(|settings| settings.openbao.ca_file = Some("/nowhere".into())),
        with(|settings| settings.openbao.ca_file = Some("/dev/null".into())),
        with(|settings| settings.mount = "../sys".to_owned()),
        with(|settings| settings.key = "a/rotate".to_owned()),
        with(|settings| settings.key = String::new()),
    ] {
        let error = Transit::connect(wrong).await.unwrap_err();
        assert_eq!(kind_of(&error), "settings");
    }
    let lazy = with(|settings| settings.openbao.login = OpenBaoLogin::TokenFile("/nowhere/token".into()));
    let transit = Transit::connect(lazy).await.unwrap();
    assert_eq!(wrap_error(&transit).await, "settings", "the file of the token is not there");
}

#[tokio::test]
async fn a_server_that_does_not_serve_is_unavailable_in_time_and_then_used_again() {
    let Some(mut peer) = Peer::start() else { return };
    let transit = Arc::new(peer.transit("credvault", peer.token_file()).await);
    let settings = GuardSettings { timeout: Duration::from_millis(700), ..GuardSettings::default() };
    let guarded = Guarded::new(transit, settings);
    let wrapped = wrap(&guarded).await;

    peer.bao.pause();
    let begun = Instant::now();
    assert_eq!(unwrap_error(&guarded, &PLACE, &wrapped).await, "unavailable");
    let waited = begun.elapsed();
    assert!(waited < Duration::from_millis(1500), "{waited:?}");
    for _ in 0..4 {
        assert_eq!(unwrap_error(&guarded, &PLACE, &wrapped).await, "unavailable");
    }
    assert!(logs::has("the key manager does not answer"));
    let begun = Instant::now();
    assert_eq!(unwrap_error(&guarded, &PLACE, &wrapped).await, "unavailable");
    assert!(begun.elapsed() < Duration::from_millis(200), "it is not even tried");
    peer.bao.resume();
    eventually_unwraps(&guarded, &wrapped).await;
    assert!(logs::has("the key manager answers again"));

    peer.bao.seal();
    assert_eq!(unwrap_error(&guarded, &PLACE, &wrapped).await, "unavailable");
    peer.bao.unseal();
    eventually_unwraps(&guarded, &wrapped).await;

    peer.bao.kill();
    assert_eq!(unwrap_error(&guarded, &PLACE, &wrapped).await, "unavailable");
    peer.bao.restart();
    eventually_unwraps(&guarded, &wrapped).await;
    logs::assert_nothing_secret(&[peer.bao.root_token()]);
}

async fn eventually_unwraps(guarded: &Guarded, wrapped: &[u8]) {
    let begun = Instant::now();
    while guarded.unwrap(&PLACE, wrapped).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not serve again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_unwraps(guarded, wrapped).await;
}
