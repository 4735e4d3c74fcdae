//! Google Cloud KMS, against a server that plays it: what comes back, what does not, and what each refusal means.

use std::time::Duration;

use credvault_crypto::{KeyManager as _, KeyManagerError, Versioning};
use credvault_kms::{GoogleKms, GoogleKmsSettings};
use credvault_testkit::{GoogleFault, GoogleServer, run_in_own_process};
use tempfile::TempDir;

use crate::{
    PLACE, PLAIN, assert_only_as_wrapped, assert_unwraps, kind_of, logs, unwrap_error, wrap, wrap_error,
};

struct Peer {
    server: GoogleServer,
    folder: TempDir,
    key: String,
}

impl Peer {
    async fn start() -> Self {
        logs::start();
        let (server, folder) = (GoogleServer::start().await, TempDir::new().unwrap());
        let key = server.key("root");
        Self { server, folder, key }
    }

    fn settings(&self) -> GoogleKmsSettings {
        GoogleKmsSettings {
            key: self.key.clone(),
            endpoint: Some(self.server.endpoint()),
            service_account: Some(self.server.service_account(self.folder.path())),
        }
    }

    fn manager(&self) -> GoogleKms {
        GoogleKms::new(self.settings()).unwrap()
    }
}

#[tokio::test]
async fn what_was_wrapped_comes_back_in_its_place_and_in_no_other() {
    let peer = Peer::start().await;
    let manager = peer.manager();
    assert_eq!((manager.kind(), manager.key_name()), ("google_kms", peer.key.as_str()));
    let wrapped = wrap(&manager).await;
    assert_unwraps(&manager, &wrapped).await;
    assert_only_as_wrapped(&manager, &wrapped).await;
    logs::assert_no_canary(&format!("{manager:?}"));
    logs::assert_nothing_secret(&[]);
}

#[tokio::test]
async fn what_was_altered_or_wrapped_by_another_key_does_not_come_back() {
    let peer = Peer::start().await;
    let manager = peer.manager();
    let wrapped = wrap(&manager).await;
    for at in 0..wrapped.len() {
        let mut altered = wrapped.clone();
        altered[at] ^= 1;
        assert_eq!(manager.unwrap(&PLACE, &altered).await, Err(KeyManagerError::Foreign), "byte {at}");
    }
    assert_eq!(manager.unwrap(&PLACE, &wrapped[..8]).await, Err(KeyManagerError::Foreign));
    let other =
        GoogleKms::new(GoogleKmsSettings { key: peer.server.key("other"), ..peer.settings() }).unwrap();
    assert_eq!(other.unwrap(&PLACE, &wrapped).await, Err(KeyManagerError::Foreign));
}

#[tokio::test]
async fn a_new_version_wraps_and_the_older_ones_unwrap_until_they_are_destroyed() {
    let peer = Peer::start().await;
    let manager = peer.manager();
    let first = wrap(&manager).await;
    for _ in 0..3 {
        assert_eq!(manager.add_version().await, Ok(Versioning::Done));
    }
    peer.server.disable(&peer.key, 2);
    let newest = wrap(&manager).await;
    assert_unwraps(&manager, &first).await;
    for _ in 0..2 {
        assert_eq!(manager.destroy_older_versions().await, Ok(Versioning::Done));
        let scheduled = "DESTROY_SCHEDULED";
        assert_eq!(peer.server.states(&peer.key), [scheduled, scheduled, scheduled, "ENABLED"]);
    }
    assert_eq!(unwrap_error(&manager, &PLACE, &first).await, "key");
    assert_unwraps(&manager, &newest).await;
}

#[tokio::test(start_paused = true)]
async fn a_version_is_used_when_it_is_generated() {
    let peer = Peer::start().await;
    let manager = peer.manager();
    peer.server.fault(Some(GoogleFault::SlowGeneration));
    assert_eq!(manager.add_version().await, Ok(Versioning::Done));
    let calls = peer.server.calls();
    let looks = calls.iter().filter(|call| call.starts_with("GET /")).count();
    assert_eq!(looks, 2, "{calls:?}");
    assert_eq!(calls.last().unwrap(), "POST :updatePrimaryVersion");
}

#[tokio::test]
async fn each_refusal_has_its_reason() {
    let peer = Peer::start().await;
    let manager = peer.manager();
    let wrapped = wrap(&manager).await;
    let faults = [
        (GoogleFault::Unavailable, "unavailable"),
        (GoogleFault::Exhausted, "unavailable"),
        (GoogleFault::Talkative, "unavailable"),
        (GoogleFault::CorruptAnswer, "unavailable"),
        (GoogleFault::CorruptRequest, "unavailable"),
        (GoogleFault::Denied, "denied"),
    ];
    for (fault, expected) in faults {
        peer.server.fault(Some(fault));
        let before = peer.server.calls().len();
        assert_eq!(wrap_error(&manager).await, expected, "{fault:?}");
        assert_eq!(unwrap_error(&manager, &PLACE, &wrapped).await, expected, "{fault:?}");
        assert_eq!(peer.server.calls().len() - before, 2, "{fault:?}: each call is made once");
    }
    peer.server.fault(Some(GoogleFault::LostChecksum));
    let lost = manager.wrap(&PLACE, PLAIN).await.unwrap_err();
    assert!(lost.to_string().contains("corrupted in transit"), "{lost}");
    peer.server.fault(None);
    assert_unwraps(&manager, &wrapped).await;
    peer.server.disable(&peer.key, 1);
    assert_eq!(wrap_error(&manager).await, "key");
    assert_eq!(unwrap_error(&manager, &PLACE, &wrapped).await, "key");
    let missing = GoogleKmsSettings { key: peer.key.replace("root", "none"), ..peer.settings() };
    assert_eq!(wrap_error(&GoogleKms::new(missing).unwrap()).await, "key");
}

#[tokio::test]
async fn a_server_that_is_not_there_or_does_not_answer_is_unavailable() {
    let peer = Peer::start().await;
    let settings = GoogleKmsSettings { endpoint: Some("http://127.0.0.1:1".to_owned()), ..peer.settings() };
    assert_eq!(wrap_error(&GoogleKms::new(settings).unwrap()).await, "unavailable");
    let manager = peer.manager();
    peer.server.fault(Some(GoogleFault::Silent));
    let given_up = tokio::time::timeout(Duration::from_millis(100), manager.wrap(&PLACE, PLAIN)).await;
    assert!(given_up.is_err());
    peer.server.fault(None);
    wrap(&manager).await;
}

#[tokio::test]
async fn an_account_that_may_not_is_denied_until_its_file_is_replaced() {
    let peer = Peer::start().await;
    let file = peer.server.stranger(peer.folder.path());
    let settings = GoogleKmsSettings { service_account: Some(file.clone()), ..peer.settings() };
    let manager = GoogleKms::new(settings).unwrap();
    assert_eq!(wrap_error(&manager).await, "denied");
    std::fs::write(&file, "CANARY").unwrap();
    assert_eq!(wrap_error(&manager).await, "settings");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(wrap_error(&manager).await, "settings");
    std::fs::copy(peer.settings().service_account.unwrap(), &file).unwrap();
    wrap(&manager).await;
}

#[tokio::test]
async fn settings_are_refused_before_anything_is_called() {
    let peer = Peer::start().await;
    let bad_key = GoogleKmsSettings { key: format!("{}/cryptoKeyVersions/1", peer.key), ..peer.settings() };
    assert_eq!(kind_of(&GoogleKms::new(bad_key).unwrap_err()), "settings");
    let plaintext = Some("http://kms.example.com".to_owned());
    let bad_endpoint = GoogleKmsSettings { endpoint: plaintext, ..peer.settings() };
    assert_eq!(kind_of(&GoogleKms::new(bad_endpoint).unwrap_err()), "settings");
    assert!(peer.server.calls().is_empty());
}

/// In a process of its own, for the environment has the metadata server, and a switch with which Google's SDK traces whole
/// requests and answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_needs_no_file_and_the_sdk_traces_nothing() {
    const ENDPOINT: &str = "CREDVAULT_TEST_GOOGLE_KMS";
    let name = "google::a_machine_needs_no_file_and_the_sdk_traces_nothing";
    let peer = Peer::start().await;
    let Ok(endpoint) = std::env::var(ENDPOINT) else {
        run_in_own_process(name, |command| {
            command.env(ENDPOINT, peer.server.endpoint()).env("HOME", peer.folder.path());
            command.env("GCE_METADATA_HOST", peer.server.endpoint().replace("http://", ""));
            command.env("GOOGLE_CLOUD_RUST_LOGGING", "true").env_remove("GOOGLE_APPLICATION_CREDENTIALS");
        });
        assert!(peer.server.calls().iter().any(|call| call.ends_with(":decrypt")));
        return;
    };
    let settings = GoogleKmsSettings { endpoint: Some(endpoint), service_account: None, key: peer.key };
    let manager = GoogleKms::new(settings).unwrap();
    let wrapped = wrap(&manager).await;
    assert_unwraps(&manager, &wrapped).await;
    logs::assert_nothing_secret(&[]);
}
