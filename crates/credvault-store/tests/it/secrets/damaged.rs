//! Payloads that were altered or removed in their store: what shows it, and what goes on without them.

use std::time::Duration;

use credvault_domain::{Action, Clock as _, FieldName};
use credvault_store::{Error, RotatedFrom};

use super::{anew, stored, version};
use crate::credential_rotations::{revoked_after, rotated};
use crate::fixture::{Fixture, write};
use crate::on_both;
use crate::refreshes::record;

on_both![
    what_does_not_open_is_not_remembered,
    a_payload_that_is_lost_shows_at_its_connection,
    a_version_that_is_lost_stands_in_the_way_of_no_rotation,
    a_replica_without_the_store_names_it,
];

async fn what_does_not_open_is_not_remembered(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY").await;
    let name = store.names().remove(0);
    let whole = store.content(&name);
    store.write(&name, b"something else");
    let other = anew(&vault, &store, true).await;
    for _ in 0..2 {
        assert!(matches!(other.fetch(&acme, id).await, Err(Error::Integrity)));
    }
    store.write(&name, &whole);
    assert_eq!(other.fetch(&acme, id).await.unwrap(), "CANARY");
}

async fn a_payload_that_is_lost_shows_at_its_connection(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let shown = |account| {
        let sql = format!(
            "SELECT COALESCE(error_reason, 'none') AS v FROM connections WHERE account_name = '{account}'"
        );
        let vault = &vault;
        async move { vault.text(&sql).await }
    };
    for (account, alter) in [("lost", None), ("altered", Some(&b"something else"[..]))] {
        let id = vault.connection(&acme, account).await.id;
        vault.put(&acme, id, "CANARY").await;
        let key = vault.store.connection_key(&acme, id);
        let name = store.names().into_iter().find(|name| name.starts_with(&id.to_string())).unwrap();
        let other = anew(&vault, &store, true).await;
        // It was something else that did not open.
        other.store.broken(&key, &record(&key)).await.unwrap();
        assert_eq!(shown(account).await, "none");
        match alter {
            Some(bytes) => store.write(&name, bytes),
            None => store.delete(&name),
        }
        let other = anew(&vault, &store, true).await;
        assert!(other.fetch(&acme, id).await.unwrap_err().is_damage());
        // That the store is away, or does not give what it has, says nothing.
        let other = anew(&vault, &store, true).await;
        store.is_away(true);
        other.store.broken(&key, &record(&key)).await.unwrap();
        store.is_away(false);
        store.is_disabled(true);
        assert!(!other.fetch(&acme, id).await.unwrap_err().is_damage());
        other.store.broken(&key, &record(&key)).await.unwrap();
        assert_eq!(shown(account).await, "none");
        store.is_disabled(false);
        let other = anew(&vault, &store, true).await;
        other.store.broken(&key, &record(&key)).await.unwrap();
        assert_eq!(shown(account).await, "INTEGRITY_FAILURE");
    }
}

async fn a_version_that_is_lost_stands_in_the_way_of_no_rotation(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    let key = vault.store.connection_key(&acme, id);
    vault.put(&acme, id, "CANARY lost").await;
    let lost = store.names().remove(0);
    vault.put(&acme, id, "CANARY old").await;
    store.delete(&lost);
    let other = anew(&vault, &store, true).await;
    assert!(version(&other, &acme, id, 1).await.is_err());
    let token = FieldName::parse("token").unwrap();
    let end = other.clock.now().after(Duration::from_secs(3600));
    let ends = RotatedFrom::Ends { time: end, names: vec![token.clone()] };
    assert_eq!(rotated(&other, &acme, &key, "CANARY new", &ends).await, 3);
    assert_eq!(
        rotated(&other, &acme, &key, "CANARY newest", &revoked_after(&other, Duration::ZERO)).await,
        4
    );
    let rotations = other.store.credential_rotations();
    let work = rotations.look(&key).await.unwrap().unwrap();
    let to_end = rotations.begin_end(&key, work.ends[0], &[token]).await.unwrap().unwrap();
    assert!(to_end.replaced && to_end.serving.is_some());
    // The versions with those keys are marked: the one that ends later, and the one that has ended.
    let rollback = async |to| {
        let write = write(&acme, Action::RollbackCredential);
        other.store.credentials().rollback(&acme, id, to, None, None, &write).await.map(drop)
    };
    assert!(matches!(rollback(3).await, Err(Error::KeyRevoked(3))));
    other.clock.advance(Duration::from_secs(7200));
    assert!(matches!(rollback(2).await, Err(Error::KeyRevoked(2))));
}

async fn a_replica_without_the_store_names_it(fixture: &Fixture) {
    use crate::refreshes::{for_a_week, refreshable};
    let (vault, _store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let (key, seen) = refreshable(&vault, &acme, "a").await;
    let without = fixture.reopened(|_| {}).await;
    let refused = loop {
        let give_up = for_a_week(credvault_store::RepeatRisk::Nothing);
        match without.store.refreshes().claim(&key, seen, give_up, true).await {
            Ok(credvault_store::Claim::Busy) => tokio::time::sleep(Duration::from_millis(20)).await,
            ended => break ended.map(drop).unwrap_err(),
        }
    };
    assert!(matches!(&refused, Error::SecretStore { store, .. } if store == "eu"), "{refused:?}");
    assert!(!refused.is_transient() && !refused.is_damage());
}
