//! Credentials that are replaced at their provider, over real HTTP: `docs/credential-rotation.md`.

mod automatic;
mod crash;
mod ended;
mod leaked;
mod refused;

use std::time::Duration;

use credvault_domain::Clock as _;
use credvault_proto::v1;
use tonic::Status;

use crate::harness::provider::{Connected, STRICT, connection_request};
use crate::harness::{Client, VaultBuilder, by_id, eventually, input, refusal};
use crate::health::{get, lasting};
use crate::on_both;

/// For how long the provider's old keys are accepted beside the new one.
const OVERLAP: Duration = Duration::from_secs(3600);
/// The key that the account has from the beginning.
const FIRST: &str = "sim_key_shop-1";

/// A provider with a call for another key, one whose new key ends the old one, at once or after a while, one whose calls do not
/// name the key that they end, and one without.
const MINTER: &str = r#"
id = 'minter'
display_name = 'Minter'

[modes.api_key]
display_name = 'Key'
kind = 'static'
secret.key = { title = 'Key', required = true }
secret.key_id = { title = 'Id of the key' }
config.account = { title = 'Account' }
request = { base_url = 'PROVIDER_URL', headers = { X-API-Key = '{secret.key}' } }
test = { call = { url = 'PROVIDER_URL/me' }, account_id = 'id' }
[modes.api_key.rotation]
rotate_after_days = 90
overlap_seconds = 3600
key_id = '{secret.key_id?}'
[modes.api_key.rotation.mint]
call = { method = 'POST', url = 'PROVIDER_URL/keys' }
fields = { key = 'key', key_id = 'id' }
account_id = '{config.account?}'
[modes.api_key.rotation.revoke]
call = { method = 'DELETE', url = 'PROVIDER_URL/keys/{flow.old_key_id}' }
already_revoked = [{ status = 404 }]

[modes.rolled]
display_name = 'Key that replaces itself'
kind = 'static'
secret.key = { title = 'Key', required = true }
request = { base_url = 'PROVIDER_URL', headers = { X-API-Key = '{secret.key}' } }
test = { call = { url = 'PROVIDER_URL/me' }, account_id = 'id' }
[modes.rolled.rotation]
self_replacing = true
[modes.rolled.rotation.mint]
call = { method = 'POST', url = 'PROVIDER_URL/keys/roll' }
fields = { key = 'key' }

[modes.timed]
display_name = 'Key that ends after the next one was made'
kind = 'static'
secret.key = { title = 'Key', required = true }
request = { base_url = 'PROVIDER_URL', headers = { X-API-Key = '{secret.key}' } }
test = { call = { url = 'PROVIDER_URL/me' }, account_id = 'id' }
[modes.timed.rotation]
overlap_seconds = 3600
[modes.timed.rotation.mint]
call = { method = 'POST', url = 'PROVIDER_URL/keys' }
fields = { key = 'key' }

[modes.single]
display_name = 'Key of an account with room for one other'
kind = 'static'
secret.key = { title = 'Key', required = true }
request = { base_url = 'PROVIDER_URL', headers = { X-API-Key = '{secret.key}' } }
test = { call = { url = 'PROVIDER_URL/me' }, account_id = 'id' }
[modes.single.rotation]
overlap_seconds = 3600
[modes.single.rotation.mint]
call = { method = 'POST', url = 'PROVIDER_URL/keys' }
fields = { key = 'key' }
[modes.single.rotation.revoke]
call = { method = 'POST', url = 'PROVIDER_URL/keys/promote' }

[modes.by_hand]
display_name = 'Key that a person makes'
kind = 'static'
secret.key = { title = 'Key', required = true, description = 'Settings, API keys.' }
request = { base_url = 'PROVIDER_URL', headers = { X-API-Key = '{secret.key}' } }
[modes.by_hand.rotation]
rotate_after_days = 30
"#;

pub async fn minter(builder: VaultBuilder) -> Connected {
    builder.provider_file("minter", MINTER).start_with_provider(STRICT).await
}

/// A vault with the provider, and a client that outlives what the clock does.
async fn started(builder: VaultBuilder) -> (Connected, Client) {
    let connected = minter(builder).await;
    connected.vault.tenant("acme").await;
    let app = lasting(&connected, "app").await.acting_for("acme", None);
    (connected, app)
}

/// A connection of this mode with the first key of `shop-1`.
pub fn first_key(mode: &str) -> v1::CreateConnectionRequest {
    let id = [("key_id", "shop-1")];
    let fields: Vec<_> =
        [("key", FIRST)].into_iter().chain(id.into_iter().filter(|_| mode == "api_key")).collect();
    v1::CreateConnectionRequest {
        provider: "minter".into(),
        auth_mode: mode.into(),
        credential: Some(input(&fields)),
        ..connection_request("shop-1")
    }
}

pub async fn rotate(app: &Client, id: &str) -> Result<v1::RotateCredentialResponse, Status> {
    rotate_by(app, v1::RotateCredentialRequest { connection_id: id.to_owned(), ..Default::default() }).await
}

async fn rotate_by(
    app: &Client,
    request: v1::RotateCredentialRequest,
) -> Result<v1::RotateCredentialResponse, Status> {
    Ok(app.connections().rotate_credential(request).await?.into_inner())
}

/// The key that is served.
async fn served(app: &Client, id: &str) -> String {
    app.fetch(by_id(id)).await.unwrap().fields["key"].clone()
}

async fn standing(app: &Client, id: &str) -> v1::CredentialRotation {
    get(app, id).await.rotation.unwrap_or_default()
}

async fn roll_back(app: &Client, id: &str) -> Result<(), Status> {
    let request =
        v1::RollbackCredentialRequest { connection_id: id.to_owned(), version: 1, ..Default::default() };
    app.vault().rollback_credential(request).await.map(drop)
}

/// Waits until a key does not live any more.
async fn ended(connected: &Connected, key: &str) {
    eventually("the end of the key", || async { !connected.provider.has_key(key) }).await;
}

/// Waits until the connection has no key that is still to end.
async fn settled(app: &Client, id: &str) {
    eventually("the end of all keys", || async { standing(app, id).await.ending_keys == 0 }).await;
}

/// Another key of the account that a person has made at the provider, with its id.
async fn made_by_hand(connected: &Connected) -> (String, String) {
    let request = reqwest::Client::new().post(format!("{}/keys", connected.provider.url()));
    let text = request.header("x-api-key", FIRST).send().await.unwrap().text().await.unwrap();
    let made: serde_json::Value = serde_json::from_str(&text).unwrap();
    (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
}

on_both![
    a_key_is_replaced_and_the_one_before_revoked_after_the_overlap,
    a_key_that_has_leaked_is_revoked_at_once,
    a_key_that_replaces_itself_is_never_lost,
    a_repeated_request_makes_one_key,
    a_credential_that_is_put_meanwhile_wins,
];

async fn a_key_is_replaced_and_the_one_before_revoked_after_the_overlap(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let (clock, provider) = (&connected.vault.clock, &connected.provider);
    let id = app.create(first_key("api_key")).await.unwrap().id;
    let rotated = rotate(&app, &id).await.unwrap();
    let old_key = rotated.old_key.unwrap();
    assert_eq!((rotated.version, old_key.state()), (2, v1::OldKeyState::RevokedLater));
    assert_eq!(old_key.end_time.unwrap().seconds, clock.now().after(OVERLAP).seconds());
    let new = served(&app, &id).await;
    assert!(new != FIRST && provider.has_key(&new) && provider.has_key(FIRST));
    assert_eq!(standing(&app, &id).await.ending_keys, 1);

    clock.advance(OVERLAP);
    ended(&connected, FIRST).await;
    settled(&app, &id).await;
    assert!(provider.has_key(&new));
    assert_eq!(served(&app, &id).await, new);
    assert_eq!(refusal(&roll_back(&app, &id).await.unwrap_err()), "FailedPrecondition KEY_REVOKED");
    let list = v1::ListCredentialVersionsRequest { connection_id: id.clone(), ..Default::default() };
    let versions = app.vault().list_credential_versions(list).await.unwrap().into_inner().versions;
    let revoked: Vec<_> =
        versions.iter().map(|version| (version.version, version.key_revoke_time.is_some())).collect();
    assert_eq!(revoked, [(2, false), (1, true)]);
    let records = app.events().await;
    let of_rotation: Vec<_> = records.iter().filter(|record| record.action == "RotateCredential").collect();
    let [revoked, replaced] = of_rotation[..] else { panic!("{of_rotation:?}") };
    assert_eq!((replaced.service.as_str(), replaced.version), ("spiffe://test.local/app", 2));
    assert_eq!(
        (revoked.changed_fields.as_slice(), revoked.version),
        (&["rotation.key_revoked".to_owned()][..], 1)
    );
}

async fn a_key_that_has_leaked_is_revoked_at_once(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    let request =
        v1::RotateCredentialRequest { connection_id: id.clone(), revoke_now: true, ..Default::default() };
    let rotated = rotate_by(&app, request).await.unwrap();
    assert_eq!(rotated.old_key.unwrap().state(), v1::OldKeyState::Ended);
    assert!(!connected.provider.has_key(FIRST));
    assert!(connected.provider.has_key(&served(&app, &id).await));

    // A key whose id nothing tells is left to a person.
    let unnamed = v1::CreateConnectionRequest {
        account_name: "unnamed".into(),
        credential: Some(input(&[("key", "sim_key_shop-2")])),
        ..first_key("api_key")
    };
    let id = app.create(unnamed).await.unwrap().id;
    let request =
        v1::RotateCredentialRequest { connection_id: id.clone(), revoke_now: true, ..Default::default() };
    let rotated = rotate_by(&app, request).await.unwrap();
    assert_eq!(rotated.old_key.unwrap().state(), v1::OldKeyState::Left);
    assert!(standing(&app, &id).await.left_key_time.is_some());
    let clear = v1::UpdateConnectionRequest {
        connection: Some(v1::Connection { id: id.clone(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["rotation.left_key_time".into()] }),
        ..Default::default()
    };
    app.connections().update_connection(clear).await.unwrap();
    assert_eq!(standing(&app, &id).await.left_key_time, None);
}

async fn a_key_that_replaces_itself_is_never_lost(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let id = app.create(first_key("rolled")).await.unwrap().id;
    // The old key has ended by then, so that a test does not decide.
    connected.provider.behave(|behaviour| behaviour.made_keys_work = false);
    let rotated = rotate(&app, &id).await.unwrap();
    assert_eq!((rotated.version, rotated.old_key.unwrap().state()), (2, v1::OldKeyState::Ended));
    let new = served(&app, &id).await;
    assert!(connected.provider.has_key(&new) && !connected.provider.has_key(FIRST));
    assert_eq!(refusal(&roll_back(&app, &id).await.unwrap_err()), "FailedPrecondition KEY_REVOKED");
    assert_eq!(connected.provider.counts().key_revocations, 0);
}

async fn a_repeated_request_makes_one_key(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    let request = v1::RotateCredentialRequest {
        connection_id: id.clone(),
        request_id: "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".into(),
        etag: get(&app, &id).await.etag,
        ..Default::default()
    };
    let first = rotate_by(&app, request.clone()).await.unwrap();
    let again = rotate_by(&app, request.clone()).await.unwrap();
    assert_eq!((again.version, &again.old_key), (first.version, &first.old_key));
    assert_eq!(connected.provider.counts().mints, 1);
    let stale = v1::RotateCredentialRequest { request_id: String::new(), ..request };
    assert_eq!(refusal(&rotate_by(&app, stale).await.unwrap_err()), "Aborted ETAG_MISMATCH");
    assert_eq!(connected.provider.counts().mints, 1);
}

async fn a_credential_that_is_put_meanwhile_wins(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let provider = &connected.provider;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    let (by_hand, by_hand_id) = made_by_hand(&connected).await;
    provider.behave(|behaviour| behaviour.hold = true);
    let rotating = {
        let (app, id) = (app.clone(), id.clone());
        tokio::spawn(async move { rotate(&app, &id).await })
    };
    eventually("another key", || async { provider.counts().keys_minted == 2 }).await;
    assert_eq!(standing(&app, &id).await.stage(), v1::CredentialRotationStage::Minting);
    let put = v1::PutCredentialRequest {
        connection_id: id.clone(),
        credential: Some(input(&[("key", &by_hand), ("key_id", &by_hand_id)])),
        ..Default::default()
    };
    app.vault().put_credential(put).await.unwrap();
    provider.behave(|behaviour| behaviour.hold = false);
    let overtaken = rotating.await.unwrap().unwrap_err();
    assert_eq!(refusal(&overtaken), "Aborted VERSION_MISMATCH");
    eventually("the end of the new key", || async { provider.made_keys("shop-1") == [by_hand_id.clone()] })
        .await;
    settled(&app, &id).await;
    assert_eq!(served(&app, &id).await, by_hand);
    assert!(provider.has_key(FIRST), "a rotation has not replaced it");
}
