//! Stores that take no more, or refuse: what makes room there, and what is not tried again at once.

use std::time::Duration;

use credvault_domain::{Action, ConnectionId, TenantScope};
use credvault_store::{Error, Selector};

use super::{anew, stored, tend, version};
use crate::fixture::{Fixture, FolderStore, credential, write};
use crate::on_both;
use crate::refreshes::{claimed, record, refreshable, refreshed};

on_both![
    the_oldest_that_no_record_needs_makes_room,
    nothing_makes_way_where_that_makes_no_room,
    a_version_that_does_not_open_is_not_what_a_full_store_refuses,
    of_refreshed_tokens_the_latest_are_kept,
    what_a_store_refuses_is_not_tried_again_at_once,
];

async fn put(vault: &Fixture, scope: &TenantScope, id: ConnectionId, value: &str) -> Result<(), Error> {
    let write = write(scope, Action::PutCredential);
    vault.store.credentials().put(scope, id, &credential(value), None, &write).await.map(|_| ())
}

async fn destroy(vault: &Fixture, scope: &TenantScope, id: ConnectionId, version: i64) {
    let write = write(scope, Action::DestroyCredentialVersion);
    let _ = vault.store.credentials().destroy(scope, id, version, &write).await.unwrap();
}

async fn the_oldest_that_no_record_needs_makes_room(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    for value in ["CANARY first", "CANARY second", "CANARY third"] {
        vault.put(&acme, id, value).await;
    }
    destroy(&vault, &acme, id, 1).await;
    tend(&vault).await;
    vault.clock.advance(Duration::from_secs(60));
    destroy(&vault, &acme, id, 2).await;
    store.takes(3);
    // What is too large for any store removes nothing.
    assert!(put(&vault, &acme, id, &"x".repeat(50_000)).await.is_err());
    assert_eq!(store.names().len(), 3);
    put(&vault, &acme, id, "CANARY fourth").await.unwrap();
    put(&vault, &acme, id, "CANARY fifth").await.unwrap();
    assert_eq!(store.names().len(), 3);
    // The other three serve.
    let refused = put(&vault, &acme, id, "CANARY sixth").await;
    assert!(matches!(&refused, Err(Error::SecretStore { store, .. }) if store == "eu"), "{refused:?}");
    let other = anew(&vault, &store, true).await;
    assert_eq!(other.fetch(&acme, id).await.unwrap(), "CANARY fifth");
    assert_eq!(version(&other, &acme, id, 3).await.unwrap(), "CANARY third");
    assert_eq!(version(&other, &acme, id, 4).await.unwrap(), "CANARY fourth");
}

async fn nothing_makes_way_where_that_makes_no_room(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY first").await;
    vault.put(&acme, id, "CANARY second").await;
    destroy(&vault, &acme, id, 1).await;
    tend(&vault).await;
    // It takes three, and does not take the third.
    store.takes(3);
    store.is_full(true);
    for _ in 0..2 {
        assert!(matches!(put(&vault, &acme, id, "CANARY third").await, Err(Error::SecretStore { .. })));
    }
    assert_eq!(store.names().len(), 2);
}

async fn a_version_that_does_not_open_is_not_what_a_full_store_refuses(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    for value in ["CANARY first", "CANARY second", "CANARY third"] {
        vault.put(&acme, id, value).await;
    }
    destroy(&vault, &acme, id, 1).await;
    tend(&vault).await;
    vault.execute("UPDATE credential_versions SET schema = 9 WHERE version = 2").await;
    store.takes(3);
    let refused = put(&vault, &acme, id, "CANARY fourth").await;
    assert!(matches!(&refused, Err(Error::SecretStore { store, .. }) if store == "eu"), "{refused:?}");
    assert_eq!(store.names().len(), 3);
}

async fn of_refreshed_tokens_the_latest_are_kept(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let (key, mut seen) = refreshable(&vault, &acme, "a").await;
    let refreshes = vault.store.refreshes();
    for round in 0..8 {
        let claim = claimed(&vault.store, &key, seen).await;
        let tokens = refreshed(&claim, &format!("CANARY {round}"));
        assert!(refreshes.store(&claim, &tokens, &record(&key)).await.unwrap());
        tend(&vault).await;
        let selector = Selector::Connection { id: key.connection(), version: None };
        seen = vault.store.credentials().fetch(&acme, &selector).await.unwrap().generation();
        vault.clock.advance(Duration::from_secs(1));
    }
    // The version, the tokens that serve, and four for backups.
    assert_eq!(store.names().len(), 6);
    let other = anew(&vault, &store, true).await;
    assert_eq!(other.fetch(&acme, key.connection()).await.unwrap(), "CANARY 7");
}

async fn what_a_store_refuses_is_not_tried_again_at_once(fixture: &Fixture) {
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    let before = anew(fixture, &store, false).await;
    let acme = before.tenant("acme").await;
    let id = before.connection(&acme, "a").await.id;
    before.put(&acme, id, "CANARY first").await;
    before.put(&acme, id, "CANARY second").await;
    before.execute("UPDATE tenants SET secret_store = 'eu' WHERE tenant_id = 'acme'").await;
    let vault = anew(fixture, &store, true).await;
    assert_eq!(vault.store.secrets().look_through().await.unwrap(), 1);
    store.refuses(true);
    tend(&vault).await;
    assert_eq!(store.puts(), 2);
    for _ in 0..5 {
        vault.clock.advance(Duration::from_secs(3600));
        tend(&vault).await;
    }
    assert_eq!(store.puts(), 2);
    vault.clock.advance(Duration::from_secs(3600));
    tend(&vault).await;
    assert_eq!(store.puts(), 4);
    // Of what was put in vain no rows stay, but for the one that says that the store may have an empty secret.
    assert_eq!(vault.count("external_payloads").await, 1);
    // A change has it tried again.
    destroy(&vault, &acme, id, 1).await;
    store.refuses(false);
    tend(&vault).await;
    assert_eq!((store.puts(), store.names().len()), (5, 1));
    assert_eq!(vault.fetch(&acme, id).await.unwrap(), "CANARY second");
}
