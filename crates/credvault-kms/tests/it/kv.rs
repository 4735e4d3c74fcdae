//! The engine `kv`, version 2, of a real OpenBao as a store of secrets.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use credvault_crypto::SecretStore as _;
use credvault_kms::{
    GuardSettings, GuardedStore, OpenBaoLogin, OpenBaoSecrets, OpenBaoSecretsSettings, OpenBaoSettings,
};
use credvault_testkit::OpenBao;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::logs;
use crate::stores::{
    SEALED, adopted_error, assert_keeps, assert_pages, assert_refuses_strange_names,
    assert_unavailable_within, eventually_gets, get_error, id, kind_of, put_error,
};

/// What the documentation of [`OpenBaoSecrets`] says that a policy needs.
const POLICY: &str = r#"
path "secret/data/credvault/*" { capabilities = ["create", "update", "read"] }
path "secret/metadata/credvault/*" { capabilities = ["list", "delete"] }
path "secret/data/customers/*" { capabilities = ["read"] }
"#;

/// A server with the engine at `secret`, and the files of logins.
struct Peer {
    bao: OpenBao,
    files: TempDir,
}

impl Peer {
    fn start() -> Option<Self> {
        logs::start();
        let bao = OpenBao::start()?;
        let peer = Self { bao, files: tempfile::tempdir().unwrap() };
        peer.mount("secret", "2");
        peer.bao.policy("credvault", POLICY);
        Some(peer)
    }

    /// Mounts the engine and waits until it serves, for version 2 prepares itself first.
    fn mount(&self, path: &str, version: &str) {
        let options = json!({ "version": version });
        self.bao.write(&format!("sys/mounts/{path}"), &json!({ "type": "kv", "options": options }));
        let begun = std::time::Instant::now();
        while self.bao.request("GET", &format!("{path}/config"), &Value::Null).0 == 400 {
            assert!(begun.elapsed() < Duration::from_secs(30), "the engine does not serve");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn settings(&self, token: &str) -> OpenBaoSecretsSettings {
        let login = OpenBaoLogin::TokenFile(self.file("token", token));
        OpenBaoSecretsSettings {
            openbao: OpenBaoSettings { address: self.bao.address(), namespace: None, ca_file: None, login },
            mount: "secret".to_owned(),
            prefix: "credvault".to_owned(),
        }
    }

    /// The store, with a token of the policy.
    async fn store(&self) -> OpenBaoSecrets {
        OpenBaoSecrets::connect(self.settings(&self.bao.token(&["credvault"], "1h"))).await.unwrap()
    }

    /// The store with the root token, at another mount.
    async fn store_at(&self, mount: &str) -> OpenBaoSecrets {
        let mut settings = self.settings(self.bao.root_token());
        settings.mount = mount.to_owned();
        OpenBaoSecrets::connect(settings).await.unwrap()
    }
}

#[tokio::test]
async fn what_is_kept_comes_back_until_it_is_removed() {
    let Some(peer) = Peer::start() else { return };
    let store = peer.store().await;
    let place = format!("{}/secret/credvault", peer.bao.address());
    assert_eq!((store.kind(), store.place()), ("openbao", place.as_str()));
    assert_keeps(&store).await;
    assert_pages(&store, 60).await;
    assert_refuses_strange_names(&store).await;
    let too_large = store.put(&id(1), &id(2), &[b'x'; 100 * 1024]).await.unwrap_err();
    assert_eq!(kind_of(&too_large), "full");
    logs::assert_nothing_secret(&[peer.bao.root_token()]);
}

#[tokio::test]
async fn a_repeated_put_is_recognised_and_replaces_nothing() {
    let Some(peer) = Peer::start() else { return };
    let store = peer.store().await;
    let first = store.put(&id(1), &id(2), SEALED).await.unwrap();
    assert_eq!(store.put(&id(1), &id(2), SEALED).await.unwrap(), first);
    assert_eq!(kind_of(&store.put(&id(1), &id(2), b"other").await.unwrap_err()), "unusable");
    assert_eq!(store.get(&first).await.unwrap(), SEALED);
}

#[tokio::test]
async fn a_login_or_a_policy_that_does_not_permit_it_denies() {
    let Some(peer) = Peer::start() else { return };
    for wrong in ["s.CANARY", &peer.bao.token(&["default"], "1h")] {
        let store = OpenBaoSecrets::connect(peer.settings(wrong)).await.unwrap();
        assert_eq!(put_error(&store).await, "denied");
        let reference = format!("credvault/{}/{}", id(1), id(2));
        assert_eq!(get_error(&store, &reference).await, "denied");
        assert_eq!(kind_of(&store.list(None).await.unwrap_err()), "denied");
    }
    let unreadable = OpenBaoSecrets::connect(peer.settings("two CANARY\nlines")).await.unwrap();
    assert_eq!(put_error(&unreadable).await, "settings");
    assert_eq!(adopted_error(&peer.store().await, "others/acme/x", None).await, "denied");
    logs::assert_nothing_secret(&[peer.bao.root_token()]);
}

#[tokio::test]
async fn an_engine_that_would_lose_secrets_is_not_used() {
    let Some(peer) = Peer::start() else { return };
    let nowhere = peer.store_at("nowhere").await;
    let reference = format!("credvault/{}/{}", id(1), id(2));
    assert_eq!(put_error(&nowhere).await, "unusable");
    assert_eq!(get_error(&nowhere, &reference).await, "unusable", "it looks not as if the secret were gone");
    assert_eq!(kind_of(&nowhere.remove(&reference).await.unwrap_err()), "unusable");
    assert_eq!(kind_of(&nowhere.list(None).await.unwrap_err()), "unusable");

    peer.mount("first", "1");
    let first = peer.store_at("first").await;
    let error = first.put(&id(1), &id(2), SEALED).await.unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");

    peer.bao.write("secret/config", &json!({ "delete_version_after": "1h" }));
    let store = peer.store().await;
    let error = store.put(&id(1), &id(2), SEALED).await.unwrap_err();
    assert!(error.to_string().contains("delete_version_after"), "{error}");
    assert_eq!(get_error(&store, &reference).await, "not_found", "it was taken away again");
}

#[tokio::test]
async fn what_others_have_put_there_is_not_taken_for_a_secret() {
    let Some(peer) = Peer::start() else { return };
    let store = peer.store().await;
    let path = format!("credvault/{}/{}", id(1), id(2));
    for data in [json!({ "sealed": "CANARY" }), json!({ "other": "CANARY" }), json!({ "sealed": 1 })] {
        peer.bao.write(&format!("secret/data/{path}"), &json!({ "data": data }));
        assert_eq!(get_error(&store, &path).await, "unusable");
    }
    peer.bao.request("DELETE", &format!("secret/data/{path}"), &Value::Null);
    assert_eq!(get_error(&store, &path).await, "not_found");
    peer.bao.write("secret/data/credvault/notes", &json!({ "data": { "a": "b" } }));
    let listed = store.list(None).await.unwrap();
    assert_eq!(listed.references.len(), 1, "{listed:?}");
}

#[tokio::test]
async fn a_secret_of_others_is_read_in_the_newest_version_or_the_one_given() {
    let Some(peer) = Peer::start() else { return };
    let store = peer.store().await;
    for value in ["CANARY-1", "CANARY-2"] {
        let fields = json!({ "data": { "api_key": value, "limits": { "calls": 3 } } });
        peer.bao.write("secret/data/customers/acme/stripe", &fields);
    }
    let newest = store.adopted("customers/acme/stripe", None).await.unwrap();
    let fields: Value = serde_json::from_slice(&newest.value).unwrap();
    assert_eq!(fields, json!({ "api_key": "CANARY-2", "limits": { "calls": 3 } }));
    assert_eq!(newest.version, "2");
    let first = store.adopted("customers/acme/stripe", Some("1")).await.unwrap();
    assert!(String::from_utf8_lossy(&first.value).contains("CANARY-1"));
    logs::assert_no_canary(&format!("{newest:?} {first:?}"));
    for version in ["0", "3", "latest", "-1", "1&list=true"] {
        let error = adopted_error(&store, "customers/acme/stripe", Some(version)).await;
        assert_eq!(error, "not_found", "{version}");
    }
    assert_eq!(adopted_error(&store, "customers/acme/none", None).await, "not_found");
    for size in [70 * 1024, 400 * 1024] {
        let fields = json!({ "data": { "large": "CANARY".repeat(size / 6) } });
        peer.bao.write("secret/data/customers/acme/large", &fields);
        assert_eq!(adopted_error(&store, "customers/acme/large", None).await, "unusable");
    }
    logs::assert_nothing_secret(&[peer.bao.root_token()]);
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_in_time_and_then_used_again() {
    let Some(mut peer) = Peer::start() else { return };
    let settings = GuardSettings { timeout: Duration::from_millis(700), ..GuardSettings::default() };
    let guarded = GuardedStore::new(Arc::new(peer.store().await), settings);
    let reference = guarded.put(&id(1), &id(2), SEALED).await.unwrap();
    peer.bao.pause();
    for _ in 0..5 {
        assert_unavailable_within(&guarded, &reference, Duration::from_millis(1500)).await;
    }
    assert!(logs::has("the secret store does not answer"));
    assert_unavailable_within(&guarded, &reference, Duration::from_millis(200)).await;
    peer.bao.resume();
    eventually_gets(&guarded, &reference).await;
    peer.bao.seal();
    assert_eq!(get_error(&guarded, &reference).await, "unavailable");
    peer.bao.unseal();
    eventually_gets(&guarded, &reference).await;
    peer.bao.kill();
    assert_eq!(get_error(&guarded, &reference).await, "unavailable");
    peer.bao.restart();
    eventually_gets(&guarded, &reference).await;
    logs::assert_nothing_secret(&[peer.bao.root_token()]);
}

#[tokio::test]
async fn settings_of_no_use_are_refused_without_a_call() {
    let with = |change: fn(&mut OpenBaoSecretsSettings)| {
        let login = OpenBaoLogin::TokenFile("/nowhere/CANARY".into());
        let address = "https://localhost:1".to_owned();
        let openbao = OpenBaoSettings { address, namespace: None, ca_file: None, login };
        let mut settings =
            OpenBaoSecretsSettings { openbao, mount: "secret".to_owned(), prefix: "credvault".to_owned() };
        change(&mut settings);
        settings
    };
    logs::start();
    for wrong in [
        with(|settings| settings.openbao.address = "http://bao.example:8200".to_owned()),
        with(|settings| settings.mount = "../sys".to_owned()),
        with(|settings| settings.prefix = String::new()),
        with(|settings| settings.prefix = "a/../b".to_owned()),
    ] {
        assert_eq!(kind_of(&OpenBaoSecrets::connect(wrong).await.unwrap_err()), "settings");
    }
}
