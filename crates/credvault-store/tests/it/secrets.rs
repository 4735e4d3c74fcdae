//! Secrets in external stores: put, served, moved, removed, and what failures leave.

mod adopted;
mod costs;
mod damaged;
mod given_up;
mod lost;
mod moved;
mod queued;
mod removed;
mod room;

use std::time::Duration;

use credvault_crypto::{SecretStores, StoreEntry};
use credvault_domain::{Action, Clock as _, ConnectionId, TenantScope};
use credvault_store::{Claim, Error, RepeatRisk, Selector, StoreSettings, Urgency};

use crate::fixture::{Fixture, FolderStore, repeatable, write};
use crate::on_both;
use crate::refreshes::{claimed, for_a_week, record, refreshable, refreshed};

on_both![
    a_secret_is_in_the_store_and_its_place_in_the_database,
    what_was_read_serves_while_the_store_is_away,
    a_put_that_fails_leaves_the_version_before,
    a_refreshed_token_is_durable_first_and_moves_then,
    what_nothing_refers_to_is_removed_when_its_time_is_over,
    an_erased_tenant_leaves_nothing_in_the_store,
];

/// How long removed payloads are kept.
const KEPT: Duration = Duration::from_secs(7200);

/// Settings with a store of the name `eu` in a folder, which is the tenants' if `default`.
pub fn with_store(settings: &mut StoreSettings, store: &FolderStore, default: bool) {
    let entry = StoreEntry { store: std::sync::Arc::new(store.clone()), adopt: adopted::rules() };
    settings.secrets = SecretStores {
        by_name: [("eu".to_owned(), entry)].into(),
        default: Some("eu".to_owned()).filter(|_| default),
        cache: Duration::from_secs(3600),
        adopted_cache: Duration::from_secs(60),
        keep_removed: KEPT,
    };
}

/// The same vault as another process, which remembers nothing and has a store.
pub async fn anew(fixture: &Fixture, store: &FolderStore, default: bool) -> Fixture {
    fixture.reopened(|settings| with_store(settings, store, default)).await
}

/// The fixture's vault with a store, in which its tenants keep their secrets.
async fn stored(fixture: &Fixture) -> (Fixture, FolderStore) {
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    (anew(fixture, &store, true).await, store)
}

/// Looks at what is due, until nothing is.
pub async fn tend(fixture: &Fixture) {
    while fixture.store.secrets().work().await.unwrap() > 0 {}
}

async fn schema(fixture: &Fixture, id: ConnectionId) -> String {
    let id = fixture.id(id);
    let newest = "ORDER BY version DESC LIMIT 1";
    fixture
        .text(&format!(
            "SELECT CAST(schema AS TEXT) AS v FROM credential_versions WHERE connection_id = {id} {newest}"
        ))
        .await
}

async fn a_secret_is_in_the_store_and_its_place_in_the_database(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY first").await;
    assert_eq!(schema(&vault, id).await, "2");
    let names = store.names();
    assert_eq!(names.len(), 1);
    assert!(names[0].starts_with(&id.to_string()));
    let content = store.content(&names[0]);
    assert!(!content.windows(6).any(|bytes| bytes == b"CANARY"));
    // What was put is remembered; another process asks once.
    assert_eq!(vault.fetch(&acme, id).await.unwrap(), "CANARY first");
    assert_eq!(store.gets(), 0);
    let other = anew(&vault, &store, true).await;
    for _ in 0..3 {
        assert_eq!(other.fetch(&acme, id).await.unwrap(), "CANARY first");
    }
    assert_eq!(store.gets(), 1);
    // A payload opens for its own connection only.
    let second = vault.connection(&acme, "b").await.id;
    vault.put(&acme, second, "CANARY other").await;
    let of_second = store.names().into_iter().find(|name| name.starts_with(&second.to_string())).unwrap();
    store.write(&of_second, &content);
    let third = anew(&vault, &store, true).await;
    assert!(matches!(third.fetch(&acme, second).await, Err(Error::Integrity)));
    // Settings change, keys rotate: the place moves along, and the payload stays.
    let rotate = write(&acme, Action::RotateTenantKey);
    let how = credvault_store::TenantRotation { records_per_second: 0, retire_after: Duration::ZERO };
    let _ = vault.store.keys().begin_tenant_rotation(&acme, how, &rotate).await.unwrap();
    while vault.store.keys().work(Urgency::AtOnce).await.unwrap() > 0 {}
    assert_eq!(vault.fetch(&acme, id).await.unwrap(), "CANARY first");
    assert_eq!(store.names().len(), 2);
}

async fn what_was_read_serves_while_the_store_is_away(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY").await;
    store.is_away(true);
    assert_eq!(vault.fetch(&acme, id).await.unwrap(), "CANARY");
    let other = anew(&vault, &store, true).await;
    let refused = other.fetch(&acme, id).await.unwrap_err();
    assert!(matches!(&refused, Error::SecretStore { store, .. } if store == "eu"), "{refused:?}");
    assert!(refused.to_string().contains("eu") && refused.is_transient());
    store.is_away(false);
    assert_eq!(other.fetch(&acme, id).await.unwrap(), "CANARY");
    // A replica that does not know the store says which one it is.
    let without = fixture.reopened(|_| {}).await;
    assert!(without.fetch(&acme, id).await.unwrap_err().to_string().contains("eu"));
}

async fn a_put_that_fails_leaves_the_version_before(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY first").await;
    let put = |vault: &Fixture, value: &'static str| {
        let (store, acme) = (vault.store.clone(), acme.clone());
        async move {
            let new = crate::fixture::credential(value);
            let write = write(&acme, Action::PutCredential);
            store.credentials().put(&acme, id, &new, None, &write).await.map(|_| ())
        }
    };
    store.is_away(true);
    assert!(matches!(put(&vault, "CANARY second").await, Err(Error::SecretStore { .. })));
    store.is_away(false);
    assert_eq!(vault.fetch(&acme, id).await.unwrap(), "CANARY first");
    // What the store refuses, or is not asked for, leaves no row.
    store.refuses(true);
    assert!(put(&vault, "CANARY refused").await.is_err());
    store.refuses(false);
    store.is_not_asked(true);
    let puts = store.puts();
    assert!(put(&vault, "CANARY unasked").await.unwrap_err().is_transient());
    store.is_not_asked(false);
    assert_eq!((store.puts(), vault.count("external_payloads").await), (puts, 2));
    // Its answer is lost: what is left there is found, and removed when it cannot be on its way any more.
    store.loses_answers(true);
    assert!(put(&vault, "CANARY third").await.is_err());
    store.loses_answers(false);
    assert_eq!((vault.fetch(&acme, id).await.unwrap().as_str(), store.names().len()), ("CANARY first", 2));
    tend(&vault).await;
    assert_eq!(store.names().len(), 2);
    for _ in 0..3 {
        vault.clock.advance(KEPT);
        tend(&vault).await;
    }
    assert_eq!((vault.fetch(&acme, id).await.unwrap().as_str(), store.names().len()), ("CANARY first", 1));
    assert_eq!(vault.count("external_payloads").await, 1);
    // Nothing is put for a change that is refused, and what was put for one is removed at once.
    let (new, write) = (crate::fixture::credential("CANARY"), write(&acme, Action::PutCredential));
    assert!(vault.store.credentials().put(&acme, id, &new, Some(9), &write).await.is_err());
    assert_eq!(store.names().len(), 1);
    let late = credvault_store::NewCredential { expire_time: Some(vault.clock.now()), ..new };
    let refused = vault.store.credentials().put(&acme, id, &late, None, &write).await;
    assert!(matches!(refused, Err(Error::ExpiredAlready)));
    assert_eq!(store.names().len(), 2);
    tend(&vault).await;
    assert_eq!((store.names().len(), vault.count("external_payloads").await), (1, 1));
    // A repeated request learns what it has done, wherever the store is.
    let request = uuid::Uuid::from_u128(7);
    let first = repeatable(&acme, Action::PutCredential, request, "the same");
    let new = crate::fixture::credential("CANARY repeated");
    let put = async || vault.store.credentials().put(&acme, id, &new, None, &first).await;
    let version = put().await.unwrap().into_inner().version;
    store.is_away(true);
    assert_eq!(put().await.unwrap().into_inner().version, version);
    assert_eq!(store.names().len(), 2);
}

async fn a_refreshed_token_is_durable_first_and_moves_then(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let (key, seen) = refreshable(&vault, &acme, "a").await;
    assert_eq!(store.names().len(), 1);
    // Another process claims: the fields are read from the store before anything is claimed.
    let other = anew(&vault, &store, true).await;
    store.is_away(true);
    let refused = loop {
        let give_up = for_a_week(RepeatRisk::Nothing);
        match other.store.refreshes().claim(&key, seen, give_up, true).await {
            Ok(Claim::Busy) => tokio::time::sleep(Duration::from_millis(20)).await,
            ended => break ended,
        }
    };
    assert!(matches!(refused, Err(Error::SecretStore { .. })));
    store.is_away(false);
    let claim = claimed(&other.store, &key, seen).await;
    // The store is away while the provider answers: the token is not lost.
    store.is_away(true);
    assert!(
        other.store.refreshes().store(&claim, &refreshed(&claim, "CANARY new"), &record(&key)).await.unwrap()
    );
    assert_eq!(other.fetch(&acme, key.connection()).await.unwrap(), "CANARY new");
    tend_failing(&other).await;
    // It rests, so that others get their turn.
    assert_eq!(other.store.secrets().work().await.unwrap(), 0);
    store.is_away(false);
    other.clock.advance(Duration::from_secs(60));
    tend(&other).await;
    let moved = "SELECT CAST(schema AS TEXT) AS v FROM tokens";
    assert_eq!(other.text(moved).await, "2");
    let third = anew(&vault, &store, true).await;
    assert_eq!(third.fetch(&acme, key.connection()).await.unwrap(), "CANARY new");
}

/// Looks at what is due while the store is away.
async fn tend_failing(fixture: &Fixture) {
    fixture.store.secrets().work().await.unwrap();
}

async fn what_nothing_refers_to_is_removed_when_its_time_is_over(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY first").await;
    vault.put(&acme, id, "CANARY second").await;
    let credentials = vault.store.credentials();
    // A rolled back version refers to the payload of the first.
    let rollback = write(&acme, Action::RollbackCredential);
    let _ = credentials.rollback(&acme, id, 1, None, None, &rollback).await.unwrap();
    assert_eq!((vault.fetch(&acme, id).await.unwrap().as_str(), store.names().len()), ("CANARY first", 2));
    let destroy = |version| (version, write(&acme, Action::DestroyCredentialVersion));
    for (version, write) in [destroy(1), destroy(2)] {
        let _ = credentials.destroy(&acme, id, version, &write).await.unwrap();
    }
    tend(&vault).await;
    vault.clock.advance(KEPT / 2);
    tend(&vault).await;
    assert_eq!(store.names().len(), 2, "a backup may still refer to it");
    vault.clock.advance(KEPT);
    tend(&vault).await;
    assert_eq!((vault.fetch(&acme, id).await.unwrap().as_str(), store.names().len()), ("CANARY first", 1));
    // An altered column has nothing of another connection removed.
    let other = vault.connection(&acme, "b").await.id;
    vault.put(&acme, other, "CANARY other").await;
    let of_other = store.names().into_iter().find(|name| name.starts_with(&other.to_string())).unwrap();
    let altered = format!(
        "UPDATE external_payloads SET reference = '{of_other}' WHERE connection_id = {}",
        vault.id(id)
    );
    assert_eq!(vault.execute(&altered).await, 1);
    let _ = credentials.destroy(&acme, id, 3, &write(&acme, Action::DestroyCredentialVersion)).await.unwrap();
    for _ in 0..3 {
        vault.clock.advance(KEPT);
        tend(&vault).await;
    }
    assert_eq!(vault.fetch(&acme, other).await.unwrap(), "CANARY other");
}

async fn an_erased_tenant_leaves_nothing_in_the_store(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let (acme, beta) = (vault.tenant("acme").await, vault.tenant("beta").await);
    let mut connections = Vec::new();
    for (scope, account) in [(&acme, "a"), (&acme, "b"), (&beta, "c")] {
        let id = vault.connection(scope, account).await.id;
        vault.put(scope, id, "CANARY").await;
        connections.push(id);
    }
    erase(&vault, &acme).await;
    let left = store.names();
    assert!(left.len() == 1 && left[0].starts_with(&connections[2].to_string()), "{left:?}");
    assert_eq!(vault.count("external_payloads").await, 1);
    // While the store is away, the rows say what is left to do.
    store.is_away(true);
    erase(&vault, &beta).await;
    assert_eq!(vault.count("external_payloads").await, 1);
    store.is_away(false);
    vault.store.upkeep().await.unwrap();
    assert_eq!((store.names(), vault.count("external_payloads").await), (Vec::new(), 0));
}

async fn erase(fixture: &Fixture, scope: &TenantScope) {
    let write = write(scope, Action::EraseTenant);
    let erasures = fixture.store.erasures();
    let token = erasures.request(scope, &write).await.unwrap().into_inner().token;
    let _ = erasures.confirm(scope, &token, &write, crate::fixture::soon()).await;
}

/// The value that a fetch of a version gives.
pub async fn version(
    fixture: &Fixture,
    scope: &TenantScope,
    id: ConnectionId,
    version: i64,
) -> Result<String, Error> {
    fixture.fetch_by(scope, Selector::Connection { id, version: Some(version) }).await
}
