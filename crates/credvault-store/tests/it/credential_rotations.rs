//! The steps of a rotation of a credential, one by one: who may claim, what a crash leaves behind, which key serves, and which
//! ends.

mod ends;
mod left;
mod lost;
mod planned;
mod shared;

use std::time::Duration;

use credvault_domain::{
    Action, Clock as _, Connection, Destinations, FieldName, Reason, SecretFields, TenantScope,
};
use credvault_store::{
    ClaimedRotation, ConnectionKey, ConnectionPatch, Error, KeyEnd, KeyToEnd, MintedKey, NewKey, RotatedFrom,
    RotationClaim, RotationFailure, RotationRecord, RotationStage, RotationWish, Store, Write,
};
use secrecy::ExposeSecret as _;

use crate::fixture::{Fixture, credential, repeatable, write};
use crate::on_both;

const DAY: Duration = Duration::from_secs(24 * 3600);
const DUE: RotationWish = RotationWish {
    forced: false,
    mints: true,
    new_key_only: false,
    revoke_now: false,
    one_by_one: false,
    old_key_life: None,
};
const FORCED: RotationWish = RotationWish { forced: true, ..DUE };
const KEY_ONLY: RotationWish = RotationWish { new_key_only: true, ..DUE };

on_both![
    a_new_key_serves_and_the_one_before_waits_for_its_end,
    one_at_a_time_and_a_crash_before_the_answer_leaves_a_trace,
    a_key_that_was_kept_outlives_its_process,
    a_credential_that_was_stored_meanwhile_wins,
    a_key_that_serves_again_is_not_revoked,
    a_version_whose_key_ends_later_is_served_until_then,
    a_key_that_cannot_be_ended_is_shown,
    a_key_that_is_not_tested_yet_waits,
    a_key_that_does_not_open_is_given_up,
    a_disconnection_ends_all_keys_at_once,
    a_repeated_request_learns_what_it_has_done,
];

/// A connection with a credential, its scope and its key.
async fn keyed(fixture: &Fixture) -> (TenantScope, ConnectionKey) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY old").await;
    let key = fixture.store.connection_key(&scope, id);
    (scope, key)
}

/// Claims a rotation by force.
pub async fn rotating(store: &Store, key: &ConnectionKey) -> ClaimedRotation {
    rotating_as(store, key, FORCED).await
}

async fn rotating_as(store: &Store, key: &ConnectionKey, wish: RotationWish) -> ClaimedRotation {
    // Proof of life takes a moment to be there.
    for _ in 0..200 {
        match store.credential_rotations().claim(key, None, wish).await.unwrap() {
            RotationClaim::Ours(claimed) => return *claimed,
            RotationClaim::Unproven => tokio::time::sleep(Duration::from_millis(20)).await,
            other @ (RotationClaim::Busy
            | RotationClaim::Later(_)
            | RotationClaim::Ending
            | RotationClaim::Done
            | RotationClaim::Nothing) => {
                panic!("{other:?}")
            }
        }
    }
    panic!("never claimed");
}

/// A key that the provider has made.
fn made(claimed: &ClaimedRotation, value: &str) -> NewKey {
    let mut fields = claimed.fields.clone();
    fields.set(name(), value.to_owned().into());
    NewKey { fields, expire_time: None, key_id: Some("key-2".to_owned()) }
}

async fn kept(fixture: &Fixture, claimed: &ClaimedRotation, value: &str) -> Option<MintedKey> {
    let scope = crate::fixture::scope(claimed.key.tenant().as_str(), None);
    kept_for(fixture, claimed, value, &write(&scope, Action::RotateCredential)).await
}

/// Keeps the key for this request. The setting `host` decides where secrets go.
async fn kept_for(
    fixture: &Fixture,
    claimed: &ClaimedRotation,
    value: &str,
    write: &Write,
) -> Option<MintedKey> {
    let to = Destinations::new([("host".to_owned(), None)].into());
    fixture.store.credential_rotations().keep(claimed, &made(claimed, value), &to, write).await.unwrap()
}

/// As if the process that has claimed the rotation had lost its claim.
async fn abandoned(fixture: &Fixture) {
    fixture
        .execute("UPDATE credential_rotations SET claim_id = NULL, process_id = NULL, lease_time = NULL")
        .await;
}

async fn stored(
    fixture: &Fixture,
    scope: &TenantScope,
    of: (&ClaimedRotation, &MintedKey),
    from: &RotatedFrom,
) -> Result<i64, Error> {
    let new = credential(secret(&of.1.fields));
    let write = write(scope, Action::RotateCredential);
    let stored = fixture.store.credential_rotations().store(scope, of, &new, from, &write).await?;
    Ok(stored.into_inner().1)
}

/// Replaces the key of a connection by this one.
pub async fn rotated(
    fixture: &Fixture,
    scope: &TenantScope,
    key: &ConnectionKey,
    value: &str,
    from: &RotatedFrom,
) -> i64 {
    let ours = rotating(&fixture.store, key).await;
    let minted = kept(fixture, &ours, value).await.unwrap();
    stored(fixture, scope, (&ours, &minted), from).await.unwrap()
}

/// The key before is revoked after this time.
pub fn revoked_after(fixture: &Fixture, time: Duration) -> RotatedFrom {
    RotatedFrom::Revoked { time: fixture.clock.now().after(time), key_id: Some("key-1".to_owned()) }
}

fn name() -> FieldName {
    FieldName::parse("token").unwrap()
}

fn secret(fields: &SecretFields) -> &str {
    fields.get("token").unwrap().expose_secret()
}

fn failure(reason: Reason) -> RotationFailure {
    RotationFailure { retry: Duration::from_secs(60), reason, lost: false, in_vain: false, lasting: true }
}

async fn connection(fixture: &Fixture, scope: &TenantScope, key: &ConnectionKey) -> Connection {
    fixture.store.connections().get(scope, key.connection()).await.unwrap()
}

async fn shown(fixture: &Fixture, scope: &TenantScope, key: &ConnectionKey) -> RotationRecord {
    let connection = connection(fixture, scope, key).await;
    let rotations = fixture.store.credential_rotations();
    let mut all = rotations.of(scope, std::slice::from_ref(&connection)).await.unwrap();
    all.remove(&connection.id).unwrap_or_default()
}

/// The numbers of the keys that are to end now.
async fn ends(fixture: &Fixture, key: &ConnectionKey) -> Vec<i64> {
    fixture.store.credential_rotations().look(key).await.unwrap().map(|work| work.ends).unwrap_or_default()
}

/// Begins the end of the only key that is to end now.
async fn ending(fixture: &Fixture, key: &ConnectionKey) -> Option<KeyToEnd> {
    let [number] = ends(fixture, key).await[..] else { panic!("not one") };
    fixture.store.credential_rotations().begin_end(key, number, &[name()]).await.unwrap()
}

async fn rolled_back(fixture: &Fixture, scope: &TenantScope, key: &ConnectionKey) -> Result<i64, Error> {
    let write = write(scope, Action::RollbackCredential);
    let credentials = fixture.store.credentials();
    let version = credentials.rollback(scope, key.connection(), 1, None, None, &write).await?;
    Ok(version.into_inner().version)
}

async fn a_new_key_serves_and_the_one_before_waits_for_its_end(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let ours = rotating(&fixture.store, &key).await;
    assert_eq!(shown(fixture, &scope, &key).await.stage, RotationStage::Minting);
    let minted = kept(fixture, &ours, "CANARY new").await.unwrap();
    assert_eq!(shown(fixture, &scope, &key).await.stage, RotationStage::Testing);
    assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY old");
    let version = stored(fixture, &scope, (&ours, &minted), &revoked_after(fixture, DAY)).await.unwrap();
    assert_eq!(version, 2);
    assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY new");
    let record = shown(fixture, &scope, &key).await;
    let end = Some(fixture.clock.now().after(DAY));
    assert_eq!((record.stage, record.ending_keys, record.end_time), (RotationStage::Idle, 1, end));
    assert!(rotations.due(10, &[]).await.unwrap().is_empty() && ends(fixture, &key).await.is_empty());

    fixture.clock.advance(DAY);
    assert_eq!(rotations.due(10, &[]).await.unwrap().len(), 1);
    let to_end = ending(fixture, &key).await.unwrap();
    assert!(to_end.replaced);
    assert_eq!(secret(&to_end.fields), "CANARY old");
    assert_eq!(to_end.serving.as_ref().map(secret), Some("CANARY new"));
    assert!(rotations.due(10, &[]).await.unwrap().is_empty(), "another attempt waits");
    assert!(matches!(rolled_back(fixture, &scope, &key).await, Err(Error::KeyRevoked(1))));
    assert!(rotations.end_attempted(&to_end, KeyEnd::Ended).await.unwrap());
    assert_eq!(shown(fixture, &scope, &key).await.ending_keys, 0);
    assert!(matches!(rolled_back(fixture, &scope, &key).await, Err(Error::KeyRevoked(1))));
}

async fn one_at_a_time_and_a_crash_before_the_answer_leaves_a_trace(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let ours = rotating(&fixture.store, &key).await;
    for _ in 0..5 {
        assert!(matches!(rotations.claim(&key, None, FORCED).await.unwrap(), RotationClaim::Busy));
    }
    assert_eq!(shown(fixture, &scope, &key).await.left_time, None);
    drop(ours);
    let next = rotating(&fixture.store, &key).await;
    let record = shown(fixture, &scope, &key).await;
    assert_eq!((record.left_time, record.left_key_id), (Some(fixture.clock.now()), None));

    rotations.fail(&next, failure(Reason::ProviderUnavailable)).await.unwrap();
    let record = shown(fixture, &scope, &key).await;
    assert_eq!(
        (record.stage, record.trouble.as_deref()),
        (RotationStage::Idle, Some("PROVIDER_UNAVAILABLE"))
    );
    assert!(matches!(rotations.claim(&key, None, DUE).await.unwrap(), RotationClaim::Later(_)));
    drop(rotating(&fixture.store, &key).await);
    let patch = ConnectionPatch { forget_left_key: true, ..ConnectionPatch::default() };
    let update = write(&scope, Action::UpdateConnection);
    let connections = fixture.store.connections();
    connections.update(&scope, key.connection(), None, &patch, &update).await.unwrap().into_inner();
    assert_eq!(shown(fixture, &scope, &key).await.left_time, None);
}

async fn a_key_that_was_kept_outlives_its_process(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let ours = rotating(&fixture.store, &key).await;
    let lost = kept(fixture, &ours, "CANARY new").await.unwrap();
    let late = (ours, lost);
    abandoned(fixture).await;
    let next = rotating(&fixture.store, &key).await;
    let minted = next.minted.clone().unwrap();
    assert_eq!(secret(&minted.fields), "CANARY new");
    let from = revoked_after(fixture, DAY);
    let refused = stored(fixture, &scope, (&late.0, &late.1), &from).await;
    assert!(matches!(refused, Err(Error::CredentialRotationRunning)), "{refused:?}");
    rotations.discard(&late.0, failure(Reason::RotationRefused)).await.unwrap();
    assert_eq!(stored(fixture, &scope, (&next, &minted), &from).await.unwrap(), 2);
    assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY new");
    assert_eq!(shown(fixture, &scope, &key).await.left_time, None);
}

async fn a_credential_that_was_stored_meanwhile_wins(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    for (round, is_kept) in [false, true].into_iter().enumerate() {
        let put = format!("CANARY put {round}");
        let ours = rotating(&fixture.store, &key).await;
        if is_kept {
            let minted = kept(fixture, &ours, "CANARY new").await.unwrap();
            let current = fixture.put(&scope, key.connection(), &put).await;
            let refused = stored(fixture, &scope, (&ours, &minted), &revoked_after(fixture, DAY)).await;
            assert!(matches!(refused, Err(Error::VersionMismatch { current: now }) if now == current));
            rotations.discard(&ours, failure(Reason::VersionMismatch)).await.unwrap();
        } else {
            fixture.put(&scope, key.connection(), &put).await;
            assert!(kept(fixture, &ours, "CANARY new").await.is_none());
        }
        assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), put);
        let to_end = ending(fixture, &key).await.unwrap();
        assert!(!to_end.replaced);
        assert_eq!(secret(&to_end.fields), "CANARY new");
        assert_eq!(to_end.serving.as_ref().map(secret), Some(put.as_str()));
        assert!(rotations.end_attempted(&to_end, KeyEnd::Ended).await.unwrap());
    }
}

async fn a_key_that_serves_again_is_not_revoked(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, Duration::ZERO)).await;
    assert_eq!(rolled_back(fixture, &scope, &key).await.unwrap(), 3);
    let [old, new] = ends(fixture, &key).await[..] else { panic!("not two") };
    let rotations = fixture.store.credential_rotations();
    assert!(rotations.begin_end(&key, old, &[name()]).await.unwrap().is_none());
    assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY old");
    // The vault has made the other one, and it serves no more.
    let to_end = rotations.begin_end(&key, new, &[name()]).await.unwrap().unwrap();
    assert_eq!((to_end.replaced, secret(&to_end.fields)), (false, "CANARY new"));
    assert_eq!(to_end.serving.as_ref().map(secret), Some("CANARY old"));
    assert!(rotations.end_attempted(&to_end, KeyEnd::Ended).await.unwrap());
    assert_eq!(shown(fixture, &scope, &key).await.ending_keys, 0);
}

async fn a_version_whose_key_ends_later_is_served_until_then(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let end = fixture.clock.now().after(DAY);
    let from = RotatedFrom::Ends { time: end, names: vec![name()] };
    rotated(fixture, &scope, &key, "CANARY new", &from).await;
    assert_eq!(shown(fixture, &scope, &key).await.ending_keys, 0, "the provider ends it");
    assert_eq!(rolled_back(fixture, &scope, &key).await.unwrap(), 3);
    assert_eq!(connection(fixture, &scope, &key).await.expire_time, Some(end));
    fixture.clock.advance(DAY);
    assert!(matches!(rolled_back(fixture, &scope, &key).await, Err(Error::KeyRevoked(1))));
}

async fn a_key_that_cannot_be_ended_is_shown(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let ours = rotating(&fixture.store, &key).await;
    kept(fixture, &ours, "CANARY new").await.unwrap();
    rotations.discard(&ours, failure(Reason::RotationRefused)).await.unwrap();
    let [number] = ends(fixture, &key).await[..] else { panic!("not one") };
    for attempt in 1..=16 {
        let to_end = rotations.begin_end(&key, number, &[name()]).await.unwrap().unwrap();
        assert_eq!(rotations.end_attempted(&to_end, KeyEnd::Pending).await.unwrap(), attempt == 16);
        fixture.clock.advance(Duration::from_secs(4 * 3600));
    }
    let record = shown(fixture, &scope, &key).await;
    assert_eq!((record.ending_keys, record.left_key_id.as_deref()), (0, Some("key-2")));
    assert!(record.left_time.is_some());

    rotated(fixture, &scope, &key, "CANARY third", &revoked_after(fixture, Duration::ZERO)).await;
    let to_end = ending(fixture, &key).await.unwrap();
    assert!(rotations.end_attempted(&to_end, KeyEnd::ByHand).await.unwrap());
    assert_eq!(shown(fixture, &scope, &key).await.left_key_id.as_deref(), Some("key-1"));
}

async fn a_key_that_is_not_tested_yet_waits(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    assert!(matches!(
        rotations.claim(&key, None, KEY_ONLY).await,
        Ok(RotationClaim::Nothing | RotationClaim::Unproven)
    ));
    let ours = rotating(&fixture.store, &key).await;
    kept(fixture, &ours, "CANARY new").await.unwrap();
    rotations.postpone(&ours, failure(Reason::ProviderUnavailable)).await.unwrap();
    drop(ours);
    assert_eq!(shown(fixture, &scope, &key).await.stage, RotationStage::Testing);
    assert!(rotations.look(&key).await.unwrap().is_none(), "not yet");
    fixture.clock.advance(Duration::from_secs(60));
    let work = rotations.look(&key).await.unwrap().unwrap();
    assert!(work.has_new_key && !work.is_due && work.ends.is_empty());
    let RotationClaim::Ours(again) = rotations.claim(&key, None, KEY_ONLY).await.unwrap() else { panic!() };
    assert_eq!(again.failures, 1);
    let minted = again.minted.clone().unwrap();
    stored(fixture, &scope, (&again, &minted), &revoked_after(fixture, DAY)).await.unwrap();
    assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY new");
    let record = shown(fixture, &scope, &key).await;
    assert_eq!((record.trouble, record.retry_time), (None, None));
}

async fn a_key_that_does_not_open_is_given_up(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, Duration::ZERO)).await;
    fixture.execute("UPDATE rotated_keys SET version = 7").await;
    let rotations = fixture.store.credential_rotations();
    let [number] = ends(fixture, &key).await[..] else { panic!("not one") };
    let begun = rotations.begin_end(&key, number, &[name()]).await;
    assert!(matches!(begun, Err(Error::Integrity)), "{begun:?}");
    rotations.drop_broken(&key, number).await.unwrap();
    let record = shown(fixture, &scope, &key).await;
    assert_eq!((record.ending_keys, record.left_key_id.as_deref()), (0, Some("key-1")));
}

async fn a_disconnection_ends_all_keys_at_once(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, DAY)).await;
    assert!(ends(fixture, &key).await.is_empty());
    let disconnect = write(&scope, Action::DisconnectConnection);
    let revocations = fixture.store.revocations();
    revocations.disconnect(&scope, key.connection(), None, false, &disconnect).await.unwrap().into_inner();
    let to_end = ending(fixture, &key).await.unwrap();
    assert!(to_end.replaced && to_end.serving.is_none());
    assert_eq!(secret(&to_end.fields), "CANARY old");
}

async fn a_repeated_request_learns_what_it_has_done(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let request = |payload| repeatable(&scope, Action::RotateCredential, uuid::Uuid::from_u128(7), payload);
    assert!(rotations.repeated(&scope, &request("p")).await.unwrap().is_none());
    let ours = rotating(&fixture.store, &key).await;
    let minted = kept(fixture, &ours, "CANARY new").await.unwrap();
    let (new, from) = (credential("CANARY new"), revoked_after(fixture, DAY));
    rotations.store(&scope, (&ours, &minted), &new, &from, &request("p")).await.unwrap().into_inner();
    fixture.put(&scope, key.connection(), "CANARY put").await;
    let (connection, version) =
        rotations.repeated(&scope, &request("p")).await.unwrap().unwrap().into_inner();
    assert_eq!((connection.id, connection.current_version, version), (key.connection(), 3, 2));
    let other = rotations.repeated(&scope, &request("other")).await;
    assert!(matches!(other, Err(Error::RequestIdReused)), "{other:?}");
}
