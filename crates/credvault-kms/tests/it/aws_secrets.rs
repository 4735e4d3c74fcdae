//! AWS Secrets Manager, as moto plays it. moto has no limit on labels and on sizes; the unit tests of the crate have the
//! codes that it does not answer.

use std::sync::Arc;
use std::time::Duration;

use credvault_crypto::SecretStore as _;
use credvault_kms::{AwsSecrets, AwsSecretsSettings, GuardSettings, GuardedStore};
use credvault_testkit::Moto;
use serde_json::json;
use tempfile::TempDir;

use crate::logs;
use crate::stores::{
    SEALED, adopted_error, assert_keeps, assert_pages, assert_refuses_strange_names,
    assert_unavailable_within, get_error, id, kind_of, put_error,
};

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

    fn settings(&self) -> AwsSecretsSettings {
        AwsSecretsSettings {
            prefix: "credvault/".to_owned(),
            region: Some(Moto::REGION.to_owned()),
            endpoint: Some(self.moto.endpoint()),
            profile: Some("credvault".to_owned()),
            credentials_file: Some(self.files.path().join("credentials")),
        }
    }

    async fn store(&self) -> AwsSecrets {
        AwsSecrets::connect(self.settings()).await.unwrap()
    }
}

#[tokio::test]
async fn what_is_kept_comes_back_until_it_is_removed() {
    let Some(peer) = Peer::start() else { return };
    let store = peer.store().await;
    assert_eq!((store.kind(), store.place()), ("aws_secrets_manager", "eu-central-1/credvault/"));
    peer.moto.secrets("CreateSecret", &json!({ "Name": "credvault/notes", "SecretString": "CANARY" }));
    peer.moto
        .secrets("CreateSecret", &json!({ "Name": format!("other/{}", id(1)), "SecretString": "CANARY" }));
    assert_keeps(&store).await;
    assert_pages(&store, 60).await;
    assert_refuses_strange_names(&store).await;
    let too_large = store.put(&id(1), &id(2), &[b'x'; 50 * 1024]).await.unwrap_err();
    assert_eq!(kind_of(&too_large), "full");
    logs::assert_nothing_secret(&["CANARY-secret"]);
}

#[tokio::test]
async fn a_repeated_put_is_recognised_and_replaces_nothing() {
    let Some(peer) = Peer::start() else { return };
    let store = peer.store().await;
    let first = store.put(&id(1), &id(2), SEALED).await.unwrap();
    assert_eq!(store.put(&id(1), &id(2), SEALED).await.unwrap(), first);
    assert_eq!(kind_of(&store.put(&id(1), &id(2), b"other").await.unwrap_err()), "unusable");
    assert_eq!(store.get(&first).await.unwrap(), SEALED);
    let name = format!("credvault/{}", id(1));
    let described = peer.moto.secrets("DescribeSecret", &json!({ "SecretId": name }));
    assert_eq!(described["VersionIdsToStages"][id(2)], json!([id(2)]), "AWS keeps what has a label");
}

#[tokio::test]
async fn what_others_have_put_there_is_not_taken_for_a_secret() {
    let Some(peer) = Peer::start() else { return };
    let store = peer.store().await;
    let name = format!("credvault/{}", id(1));
    peer.moto.secrets("CreateSecret", &json!({ "Name": name, "SecretString": "CANARY" }));
    let version = json!({
        "SecretId": name, "ClientRequestToken": id(2), "SecretString": "CANARY", "VersionStages": [id(2)],
    });
    peer.moto.secrets("PutSecretValue", &version);
    assert_eq!(get_error(&store, &format!("{name}#{}", id(2))).await, "unusable");
    assert_eq!(get_error(&store, &format!("{name}#{}", id(3))).await, "not_found");
}

#[tokio::test]
async fn wrong_credentials_are_denied() {
    let Some(peer) = Peer::start() else { return };
    let store = peer.store().await;
    let reference = store.put(&id(1), &id(2), SEALED).await.unwrap();
    peer.moto.check_credentials();
    assert_eq!(put_error(&store).await, "denied");
    assert_eq!(get_error(&store, &reference).await, "denied");
    assert_eq!(kind_of(&store.remove(&reference).await.unwrap_err()), "denied");
    assert_eq!(kind_of(&store.list(None).await.unwrap_err()), "denied");
    logs::assert_nothing_secret(&["CANARY-secret"]);
}

#[tokio::test]
async fn a_secret_of_others_is_read_in_the_newest_version_or_the_one_given() {
    let Some(peer) = Peer::start() else { return };
    let store = peer.store().await;
    let name = "customers/acme/stripe";
    let made = peer.moto.secrets("CreateSecret", &json!({ "Name": name, "SecretString": "CANARY-1" }));
    let first = made["VersionId"].as_str().unwrap();
    peer.moto.secrets("PutSecretValue", &json!({ "SecretId": name, "SecretString": "CANARY-2" }));
    let newest = store.adopted(name, None).await.unwrap();
    assert_eq!(newest.value.as_slice(), b"CANARY-2");
    assert_ne!(newest.version, first);
    let older = store.adopted(name, Some(first)).await.unwrap();
    assert_eq!((older.value.as_slice(), older.version.as_str()), (&b"CANARY-1"[..], first));
    logs::assert_no_canary(&format!("{newest:?} {older:?}"));
    let arn = made["ARN"].as_str().unwrap();
    assert_eq!(store.adopted(arn, None).await.unwrap(), newest);

    for version in ["1", "AWSCURRENT", &id(9)] {
        assert_eq!(adopted_error(&store, name, Some(version)).await, "not_found", "{version}");
    }
    assert_eq!(adopted_error(&store, "customers/acme/none", None).await, "not_found");
    let large = json!({ "Name": "customers/acme/large", "SecretString": "CANARY".repeat(20_000) });
    peer.moto.secrets("CreateSecret", &large);
    assert_eq!(adopted_error(&store, "customers/acme/large", None).await, "unusable");
    logs::assert_nothing_secret(&["CANARY-secret"]);
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_in_time() {
    let Some(peer) = Peer::start() else { return };
    let settings = GuardSettings { timeout: Duration::from_millis(700), ..GuardSettings::default() };
    let guarded = GuardedStore::new(Arc::new(peer.store().await), settings);
    let reference = guarded.put(&id(1), &id(2), SEALED).await.unwrap();
    peer.moto.pause();
    assert_unavailable_within(&guarded, &reference, Duration::from_millis(1500)).await;
    drop(peer);
    assert_eq!(get_error(&guarded, &reference).await, "unavailable");
}

#[tokio::test]
async fn settings_of_no_use_are_refused_without_a_call() {
    logs::start();
    let with = |change: fn(&mut AwsSecretsSettings)| {
        let mut settings = AwsSecretsSettings {
            prefix: "credvault/".to_owned(),
            region: Some(Moto::REGION.to_owned()),
            ..AwsSecretsSettings::default()
        };
        change(&mut settings);
        settings
    };
    for wrong in [
        with(|settings| settings.prefix.clear()),
        with(|settings| settings.prefix = "a b".to_owned()),
        with(|settings| settings.endpoint = Some("http://secrets.internal".to_owned())),
        with(|settings| settings.credentials_file = Some("/nowhere".into())),
    ] {
        assert_eq!(kind_of(&AwsSecrets::connect(wrong).await.unwrap_err()), "settings");
    }
}
