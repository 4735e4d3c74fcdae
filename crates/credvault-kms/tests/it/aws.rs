//! AWS KMS, as moto plays it. moto names another key's ciphertext as one that may not be opened, and lets a key that is
//! switched off encrypt; AWS does neither. The unit tests of the crate have the codes that moto does not answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use credvault_crypto::{KeyManager as _, Versioning};
use credvault_kms::{AwsKms, AwsKmsSettings, GuardSettings, Guarded};
use credvault_testkit::Moto;
use serde_json::json;
use tempfile::TempDir;

use crate::{PLACE, assert_only_as_wrapped, assert_unwraps, kind_of, logs, unwrap_error, wrap, wrap_error};

const SECRET: &str = "aws_access_key_id = test\naws_secret_access_key = CANARY-secret-access-key\n";

struct Peer {
    moto: Moto,
    files: TempDir,
}

impl Peer {
    fn start() -> Option<Self> {
        logs::start();
        let (moto, files) = (Moto::start()?, tempfile::tempdir().unwrap());
        std::fs::write(files.path().join("credentials"), format!("[credvault]\n{SECRET}")).unwrap();
        Some(Self { moto, files })
    }

    fn settings(&self, key: &str) -> AwsKmsSettings {
        AwsKmsSettings {
            key: key.to_owned(),
            region: Some(Moto::REGION.to_owned()),
            endpoint: Some(self.moto.endpoint()),
            profile: Some("credvault".to_owned()),
            credentials_file: Some(self.files.path().join("credentials")),
        }
    }

    async fn connect(&self, key: &str) -> AwsKms {
        AwsKms::connect(self.settings(key)).await.unwrap()
    }
}

#[tokio::test]
async fn what_is_wrapped_unwraps_in_its_place_only() {
    let Some(peer) = Peer::start() else { return };
    let arn = peer.moto.create_key();
    let kms = peer.connect(&arn).await;
    assert_eq!((kms.kind(), kms.key_name()), ("aws_kms", arn.as_str()));
    let first = wrap(&kms).await;
    assert_unwraps(&kms, &first).await;
    assert_only_as_wrapped(&kms, &first).await;
    let other = peer.connect(&peer.moto.create_key()).await;
    assert_ne!(unwrap_error(&other, &PLACE, &first).await, "unavailable", "another key");

    assert_eq!(kms.add_version().await, Ok(Versioning::Done));
    let second = wrap(&kms).await;
    assert_unwraps(&kms, &first).await;
    assert_unwraps(&kms, &second).await;
    let Ok(Versioning::ByHand(advice)) = kms.destroy_older_versions().await else {
        panic!("AWS cannot do that")
    };
    assert!(advice.contains("schedule the deletion"), "{advice}");
    assert_eq!(kms.find_older_versions().await, Ok(Versioning::ByHand(advice)));
    logs::assert_nothing_secret(&["CANARY-secret"]);
}

#[tokio::test]
async fn an_alias_is_looked_up_once_and_stays_what_it_was() {
    let Some(peer) = Peer::start() else { return };
    let arn = peer.moto.create_key();
    let id = arn.rsplit('/').next().unwrap();
    peer.moto.kms("CreateAlias", &json!({ "AliasName": "alias/credvault", "TargetKeyId": id }));
    for name in ["alias/credvault", id] {
        assert_eq!(peer.connect(name).await.key_name(), arn);
    }
    let missing = AwsKms::connect(peer.settings("alias/nothing")).await.unwrap_err();
    assert_eq!(kind_of(&missing), "key");
    let gone = arn.replace(id, "00000000-0000-0000-0000-000000000000");
    assert_eq!(wrap_error(&peer.connect(&gone).await).await, "key");
}

#[tokio::test]
async fn wrong_credentials_are_denied() {
    let Some(peer) = Peer::start() else { return };
    let kms = peer.connect(&peer.moto.create_key()).await;
    let wrapped = wrap(&kms).await;
    peer.moto.check_credentials();
    assert_eq!(wrap_error(&kms).await, "denied");
    assert_eq!(unwrap_error(&kms, &PLACE, &wrapped).await, "denied");
    logs::assert_nothing_secret(&["CANARY-secret"]);
}

#[tokio::test]
async fn settings_of_no_use_are_refused_without_a_call() {
    let with = |change: fn(&mut AwsKmsSettings)| {
        let mut settings = AwsKmsSettings { key: "alias/credvault".to_owned(), ..AwsKmsSettings::default() };
        change(&mut settings);
        settings
    };
    for wrong in [
        with(|settings| settings.key.clear()),
        with(|settings| settings.key = "a key".to_owned()),
        with(|settings| settings.endpoint = Some("http://kms.internal".to_owned())),
        with(|settings| settings.credentials_file = Some("/nowhere".into())),
    ] {
        assert_eq!(kind_of(&AwsKms::connect(wrong).await.unwrap_err()), "settings");
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_unavailable_in_time() {
    let Some(peer) = Peer::start() else { return };
    let kms = Arc::new(peer.connect(&peer.moto.create_key()).await);
    let settings = GuardSettings { timeout: Duration::from_millis(700), ..GuardSettings::default() };
    let guarded = Guarded::new(kms, settings);
    wrap(&guarded).await;
    peer.moto.pause();
    let begun = Instant::now();
    assert_eq!(wrap_error(&guarded).await, "unavailable");
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    let endpoint = peer.settings("alias/credvault");
    drop(peer);
    assert_eq!(kind_of(&AwsKms::connect(endpoint).await.unwrap_err()), "settings", "its files are gone");
    assert_eq!(wrap_error(&guarded).await, "unavailable");
}
