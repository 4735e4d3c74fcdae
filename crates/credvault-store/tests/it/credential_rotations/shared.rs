//! Keys that several connections of an owner may serve, and of which one cannot be read at the moment.

use std::time::Duration;

use super::{ending, ends, keyed, name, revoked_after, rolled_back, rotated, secret, shown};
use crate::fixture::{Fixture, FolderStore};
use crate::on_both;
use crate::secrets::anew;

on_both![
    a_key_waits_for_a_connection_that_cannot_be_read_and_is_left_in_the_end,
    a_key_waits_for_a_store_that_is_away,
];

/// How long a key waits that cannot be compared.
const PAUSE: Duration = Duration::from_secs(3 * 3600);

/// A connection whose key was replaced, and the name of another one that has the same key in an external store.
async fn shared(
    fixture: &Fixture,
    store: &FolderStore,
) -> (credvault_domain::TenantScope, credvault_store::ConnectionKey) {
    let (scope, key) = keyed(fixture).await;
    let other = fixture.connection(&scope, "b").await.id;
    anew(fixture, store, true).await.put(&scope, other, "CANARY old").await;
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, Duration::ZERO)).await;
    (scope, key)
}

async fn a_key_waits_for_a_connection_that_cannot_be_read_and_is_left_in_the_end(fixture: &Fixture) {
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    // This process has no stores.
    let (scope, key) = shared(fixture, &store).await;
    let [number] = ends(fixture, &key).await[..] else { panic!("not one") };
    let rotations = fixture.store.credential_rotations();
    for _ in 0..16 {
        assert_eq!(shown(fixture, &scope, &key).await.ending_keys, 1);
        assert!(rotations.begin_end(&key, number, &[name()]).await.unwrap().is_none());
        fixture.clock.advance(PAUSE);
    }
    let record = shown(fixture, &scope, &key).await;
    assert_eq!((record.ending_keys, record.left_key_id.as_deref()), (0, Some("key-1")));
    assert!(rolled_back(fixture, &scope, &key).await.is_ok(), "it lives");
}

async fn a_key_waits_for_a_store_that_is_away(fixture: &Fixture) {
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    let (scope, key) = shared(fixture, &store).await;
    let other = fixture.connection(&scope, "c").await.id;
    let vault = anew(fixture, &store, false).await;
    store.is_away(true);
    assert!(ending(&vault, &key).await.is_none());
    assert_eq!(shown(&vault, &scope, &key).await.ending_keys, 1);
    vault.clock.advance(PAUSE);
    store.is_away(false);
    assert!(ending(&vault, &key).await.is_none(), "another connection serves it");
    assert_eq!(shown(&vault, &scope, &key).await.left_keys, 1);
    // What is lost is not served any more.
    fixture.put(&scope, other, "CANARY unlike").await;
    rotated(fixture, &scope, &key, "CANARY third", &revoked_after(fixture, Duration::ZERO)).await;
    for name in store.names() {
        store.delete(&name);
    }
    let vault = anew(fixture, &store, false).await;
    let to_end = ending(&vault, &key).await.unwrap();
    assert_eq!(secret(&to_end.fields), "CANARY new");
}
