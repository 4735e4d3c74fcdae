//! Google Secret Manager, against a server that plays it.

use std::time::Duration;

use credvault_crypto::SecretStore as _;
use credvault_kms::{GoogleSecrets, GoogleSecretsSettings};
use credvault_testkit::{GoogleFault, GoogleServer};
use tempfile::TempDir;

use crate::logs;
use crate::stores::{
    SEALED, adopted_error, assert_keeps, assert_pages, assert_refuses_strange_names, get_error, id, kind_of,
    put_error,
};

struct Peer {
    server: GoogleServer,
    folder: TempDir,
}

impl Peer {
    async fn start() -> Self {
        logs::start();
        Self { server: GoogleServer::start().await, folder: TempDir::new().unwrap() }
    }

    fn settings(&self) -> GoogleSecretsSettings {
        GoogleSecretsSettings {
            project: "project".to_owned(),
            prefix: "credvault-".to_owned(),
            locations: Vec::new(),
            endpoint: Some(self.server.endpoint()),
            service_account: Some(self.server.service_account(self.folder.path())),
        }
    }

    fn store(&self) -> GoogleSecrets {
        GoogleSecrets::new(self.settings()).unwrap()
    }
}

#[tokio::test]
async fn what_is_kept_comes_back_until_it_is_removed() {
    let peer = Peer::start().await;
    let store = peer.store();
    let place = "projects/project/secrets/credvault-";
    assert_eq!((store.kind(), store.place()), ("google_secret_manager", place));
    peer.server.secret("project", "credvault-notes", &[b"CANARY"]);
    peer.server.secret("project", &format!("other-credvault-{}", id(1)), &[b"CANARY"]);
    assert_keeps(&store).await;
    assert_pages(&store, 7).await;
    assert_refuses_strange_names(&store).await;
    let too_large = store.put(&id(1), &id(2), &[b'x'; 50 * 1024]).await.unwrap_err();
    assert_eq!(kind_of(&too_large), "full");
    logs::assert_no_canary(&format!("{store:?}"));
    logs::assert_nothing_secret(&[]);
}

#[tokio::test]
async fn many_versions_of_a_connection_are_listed_and_each_repetition_is_one() {
    let peer = Peer::start().await;
    let settings = GoogleSecretsSettings { locations: vec!["europe-west3".to_owned()], ..peer.settings() };
    let store = GoogleSecrets::new(settings).unwrap();
    let mut references = Vec::new();
    for _ in 0..5 {
        references.push(store.put(&id(1), &id(2), SEALED).await.unwrap());
    }
    references.dedup();
    assert_eq!(references.len(), 5, "Google does not recognise a payload");
    let listed = store.list(None).await.unwrap();
    assert_eq!((listed.references.len(), listed.next), (5, None));
    assert!(listed.references.iter().all(|stored| stored.payload.is_none()));
}

#[tokio::test]
async fn what_others_have_put_there_is_not_taken_for_a_secret() {
    let peer = Peer::start().await;
    let store = peer.store();
    let secret = format!("credvault-{}", id(1));
    peer.server.secret("project", &secret, &[b"CANARY", b"\xff"]);
    for version in [1, 2] {
        assert_eq!(get_error(&store, &format!("{secret}/versions/{version}")).await, "unusable");
    }
    assert_eq!(get_error(&store, &format!("{secret}/versions/3")).await, "not_found");
    peer.server.disable_secret("project", &secret, 1);
    assert_eq!(get_error(&store, &format!("{secret}/versions/1")).await, "unusable", "it is not gone");
    store.remove(&format!("{secret}/versions/1")).await.unwrap();
    assert_eq!(get_error(&store, &format!("{secret}/versions/1")).await, "not_found");
}

#[tokio::test]
async fn each_refusal_has_its_reason() {
    let peer = Peer::start().await;
    let store = peer.store();
    let reference = store.put(&id(1), &id(2), SEALED).await.unwrap();
    for (fault, put, get) in [
        (GoogleFault::Unavailable, "unavailable", "unavailable"),
        (GoogleFault::Exhausted, "unavailable", "unavailable"),
        (GoogleFault::Talkative, "unavailable", "unavailable"),
        (GoogleFault::Denied, "denied", "denied"),
    ] {
        peer.server.fault(Some(fault));
        let before = peer.server.calls().len();
        assert_eq!(put_error(&store).await, put, "{fault:?}");
        assert_eq!(get_error(&store, &reference).await, get, "{fault:?}");
        assert_eq!(peer.server.calls().len() - before, 2, "{fault:?}: each call is made once");
    }
    peer.server.fault(Some(GoogleFault::CorruptRequest));
    assert_eq!(put_error(&store).await, "unavailable");
    peer.server.fault(Some(GoogleFault::CorruptAnswer));
    assert_eq!(get_error(&store, &reference).await, "unavailable");
    peer.server.fault(Some(GoogleFault::Silent));
    let given_up = tokio::time::timeout(Duration::from_millis(100), store.get(&reference)).await;
    assert!(given_up.is_err());
    peer.server.fault(None);
    assert_eq!(store.get(&reference).await.unwrap(), SEALED);
    let away = GoogleSecretsSettings { endpoint: Some("http://127.0.0.1:1".to_owned()), ..peer.settings() };
    assert_eq!(get_error(&GoogleSecrets::new(away).unwrap(), &reference).await, "unavailable");
    logs::assert_nothing_secret(&[]);
}

#[tokio::test]
async fn an_account_that_may_not_is_denied_until_its_file_is_replaced() {
    let peer = Peer::start().await;
    let file = peer.server.stranger(peer.folder.path());
    let settings = GoogleSecretsSettings { service_account: Some(file.clone()), ..peer.settings() };
    let store = GoogleSecrets::new(settings).unwrap();
    assert_eq!(put_error(&store).await, "denied");
    std::fs::write(&file, "CANARY").unwrap();
    assert_eq!(put_error(&store).await, "settings");
    std::fs::copy(peer.settings().service_account.unwrap(), &file).unwrap();
    store.put(&id(1), &id(2), SEALED).await.unwrap();
    logs::assert_nothing_secret(&[]);
}

#[tokio::test]
async fn a_secret_of_others_is_read_in_the_newest_version_or_the_one_given() {
    let peer = Peer::start().await;
    let store = peer.store();
    peer.server.secret("project", "stripe-acme", &[b"CANARY-1", b"CANARY-2"]);
    peer.server.secret("customer-acme", "stripe", &[b"CANARY-3"]);
    let newest = store.adopted("stripe-acme", None).await.unwrap();
    assert_eq!((newest.value.as_slice(), newest.version.as_str()), (&b"CANARY-2"[..], "2"));
    let first = store.adopted("stripe-acme", Some("1")).await.unwrap();
    assert_eq!((first.value.as_slice(), first.version.as_str()), (&b"CANARY-1"[..], "1"));
    let elsewhere = store.adopted("projects/customer-acme/secrets/stripe", None).await.unwrap();
    assert_eq!(elsewhere.value.as_slice(), b"CANARY-3");
    logs::assert_no_canary(&format!("{newest:?} {first:?} {elsewhere:?}"));
    for version in ["0", "3", "latest:access", "-1"] {
        assert_eq!(adopted_error(&store, "stripe-acme", Some(version)).await, "not_found", "{version}");
    }
    assert_eq!(adopted_error(&store, "stripe-globex", None).await, "not_found");
    peer.server.disable_secret("project", "stripe-acme", 2);
    assert_eq!(adopted_error(&store, "stripe-acme", None).await, "unusable");
    peer.server.fault(Some(GoogleFault::Large));
    assert_eq!(adopted_error(&store, "stripe-acme", Some("1")).await, "unusable");
    logs::assert_nothing_secret(&[]);
}

#[tokio::test]
async fn settings_are_refused_before_anything_is_called() {
    let peer = Peer::start().await;
    for wrong in [
        GoogleSecretsSettings { project: "a/b".to_owned(), ..peer.settings() },
        GoogleSecretsSettings { prefix: String::new(), ..peer.settings() },
        GoogleSecretsSettings { locations: vec!["a b".to_owned()], ..peer.settings() },
        GoogleSecretsSettings { endpoint: Some("http://secrets.example.com".to_owned()), ..peer.settings() },
    ] {
        assert_eq!(kind_of(&GoogleSecrets::new(wrong).unwrap_err()), "settings");
    }
    assert!(peer.server.calls().is_empty());
}
