//! Moving a tenant's secrets between the database and a store.

use credvault_domain::{Action, TenantScope};
use credvault_store::{DATABASE_STORE, Error, Recorded, Rotation, RotationKind, Urgency};

use super::{anew, schema, tend, version};
use crate::fixture::{Fixture, FolderStore, write};
use crate::on_both;

on_both![
    secrets_move_to_a_store_and_back_while_they_are_served,
    a_move_goes_on_where_it_was_left,
    what_does_not_open_stays_where_it_is,
    what_a_store_refuses_or_has_lost_does_not_stop_a_move,
    a_move_takes_the_place_of_one_in_progress,
];

pub async fn move_to(vault: &Fixture, scope: &TenantScope, store: Option<&str>) -> Result<Rotation, Error> {
    let write = write(scope, Action::MoveSecrets);
    vault.store.secrets().begin_move(scope, store, 0, &write).await.map(Recorded::into_inner)
}

pub async fn finish(vault: &Fixture, scope: &TenantScope) -> Rotation {
    while vault.store.keys().work(Urgency::Usual).await.unwrap() > 0 {}
    vault.store.keys().rotation(scope.tenant(), RotationKind::Secrets).await.unwrap().unwrap()
}

async fn places(vault: &Fixture, scope: &TenantScope) -> Vec<(String, i64)> {
    let places = vault.store.secrets().places(scope).await.unwrap();
    places.places.into_iter().map(|place| (place.name, place.versions)).collect()
}

fn counted(database: i64, eu: i64) -> Vec<(String, i64)> {
    vec![("database".to_owned(), database), ("eu".to_owned(), eu)]
}

async fn secrets_move_to_a_store_and_back_while_they_are_served(fixture: &Fixture) {
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    let vault = anew(fixture, &store, false).await;
    let (acme, beta) = (vault.tenant("acme").await, vault.tenant("beta").await);
    let mut ids = Vec::new();
    for index in 0..20 {
        let id = vault.connection(&acme, &format!("a{index}")).await.id;
        vault.put(&acme, id, "CANARY old").await;
        vault.put(&acme, id, "CANARY new").await;
        ids.push(id);
    }
    let of_beta = vault.connection(&beta, "b").await.id;
    vault.put(&beta, of_beta, "CANARY beta").await;
    assert_eq!(places(&vault, &acme).await, counted(40, 0));
    assert!(matches!(move_to(&vault, &acme, Some("us")).await, Err(Error::SecretStoreUnknown)));
    let begun = move_to(&vault, &acme, Some("eu")).await.unwrap();
    assert_eq!((begun.total, begun.running), (20, true));
    let ended = finish(&vault, &acme).await;
    assert_eq!((ended.done, ended.failed, ended.running), (20, 0, false));
    assert_eq!(places(&vault, &acme).await, counted(0, 40));
    assert_eq!(store.names().len(), 40);
    // Another process finds all of them there.
    let other = anew(&vault, &store, false).await;
    for id in &ids {
        assert_eq!(other.fetch(&acme, *id).await.unwrap(), "CANARY new");
        assert_eq!(version(&other, &acme, *id, 1).await.unwrap(), "CANARY old");
    }
    // Another tenant's are where they were.
    assert_eq!(schema(&vault, of_beta).await, "1");
    move_to(&vault, &acme, Some(DATABASE_STORE)).await.unwrap();
    finish(&vault, &acme).await;
    assert_eq!(places(&vault, &acme).await, counted(40, 0));
    for _ in 0..3 {
        tend(&vault).await;
        vault.clock.advance(super::KEPT);
    }
    tend(&vault).await;
    assert_eq!(store.names(), Vec::<String>::new());
    let other = anew(&vault, &store, false).await;
    assert_eq!(other.fetch(&acme, ids[0]).await.unwrap(), "CANARY new");
}

async fn a_move_goes_on_where_it_was_left(fixture: &Fixture) {
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    let vault = anew(fixture, &store, false).await;
    let acme = vault.tenant("acme").await;
    for index in 0..3 {
        let id = vault.connection(&acme, &format!("a{index}")).await.id;
        vault.put(&acme, id, "CANARY").await;
    }
    move_to(&vault, &acme, Some("eu")).await.unwrap();
    store.is_away(true);
    vault.store.keys().work(Urgency::Usual).await.unwrap();
    let stuck = vault.store.keys().rotation(acme.tenant(), RotationKind::Secrets).await.unwrap().unwrap();
    assert!(stuck.running && stuck.trouble.unwrap().contains("eu"));
    assert_eq!(places(&vault, &acme).await, counted(3, 0));
    store.is_away(false);
    // Another replica takes it on.
    let other = anew(&vault, &store, false).await;
    let ended = loop {
        other.clock.advance(std::time::Duration::from_secs(60));
        let now = finish(&other, &acme).await;
        if !now.running {
            break now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!((ended.done, ended.failed), (3, 0));
    assert_eq!(places(&vault, &acme).await, counted(0, 3));
}

async fn what_does_not_open_stays_where_it_is(fixture: &Fixture) {
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    let vault = anew(fixture, &store, false).await;
    let acme = vault.tenant("acme").await;
    let (broken, whole) = (vault.connection(&acme, "a").await.id, vault.connection(&acme, "b").await.id);
    vault.put(&acme, broken, "CANARY").await;
    vault.put(&acme, whole, "CANARY").await;
    let mut sealed = vault.sealed(broken).await;
    *sealed.last_mut().unwrap() ^= 1;
    vault.set_sealed(broken, &sealed).await;
    move_to(&vault, &acme, Some("eu")).await.unwrap();
    let ended = finish(&vault, &acme).await;
    assert_eq!((ended.done, ended.failed, ended.running), (2, 1, false));
    assert_eq!(places(&vault, &acme).await, counted(1, 1));
}

async fn what_a_store_refuses_or_has_lost_does_not_stop_a_move(fixture: &Fixture) {
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    let vault = anew(fixture, &store, false).await;
    let acme = vault.tenant("acme").await;
    let mut ids = Vec::new();
    for index in 0..3 {
        let id = vault.connection(&acme, &format!("a{index}")).await.id;
        vault.put(&acme, id, "CANARY").await;
        ids.push(id);
    }
    store.refuses(true);
    move_to(&vault, &acme, Some("eu")).await.unwrap();
    let ended = finish(&vault, &acme).await;
    assert_eq!((ended.done, ended.failed, ended.running), (3, 3, false));
    assert_eq!(places(&vault, &acme).await, counted(3, 0));
    // New secrets are refused as well, until the tenant is turned round.
    let (new, put) = (crate::fixture::credential("CANARY"), write(&acme, Action::PutCredential));
    let refused = vault.store.credentials().put(&acme, ids[0], &new, None, &put).await;
    assert!(matches!(refused, Err(Error::SecretStore { .. })));
    move_to(&vault, &acme, Some(DATABASE_STORE)).await.unwrap();
    vault.put(&acme, ids[0], "CANARY second").await;
    finish(&vault, &acme).await;
    store.refuses(false);
    move_to(&vault, &acme, Some("eu")).await.unwrap();
    let ended = finish(&vault, &acme).await;
    assert_eq!((ended.done, ended.failed), (3, 0));
    assert_eq!(places(&vault, &acme).await, counted(0, 4));
    // What is lost stays lost, and the others move.
    let lost = store.names().into_iter().find(|name| name.starts_with(&ids[1].to_string())).unwrap();
    store.delete(&lost);
    let other = anew(&vault, &store, false).await;
    move_to(&other, &acme, Some(DATABASE_STORE)).await.unwrap();
    let ended = finish(&other, &acme).await;
    assert_eq!((ended.done, ended.failed, ended.running), (3, 1, false));
    assert_eq!(places(&other, &acme).await, counted(3, 1));
    assert_eq!(other.fetch(&acme, ids[2]).await.unwrap(), "CANARY");
}

async fn a_move_takes_the_place_of_one_in_progress(fixture: &Fixture) {
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    let vault = anew(fixture, &store, false).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY").await;
    let first = move_to(&vault, &acme, Some("eu")).await.unwrap();
    store.is_away(true);
    vault.store.keys().work(Urgency::Usual).await.unwrap();
    let stuck = vault.store.keys().rotation(acme.tenant(), RotationKind::Secrets).await.unwrap().unwrap();
    assert!(stuck.running && stuck.target == first.target);
    let second = move_to(&vault, &acme, Some(DATABASE_STORE)).await.unwrap();
    assert!(second.running && second.target > first.target, "a number of its own, though the clock stands");
    let ended = finish(&vault, &acme).await;
    assert_eq!((ended.target, ended.done, ended.running), (second.target, 1, false));
    store.is_away(false);
    vault.clock.advance(std::time::Duration::from_secs(60));
    tend(&vault).await;
    assert_eq!(places(&vault, &acme).await, counted(1, 0));
}
