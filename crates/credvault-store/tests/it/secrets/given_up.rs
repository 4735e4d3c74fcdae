//! A store that is lost, a database that was restored, and revocations whose payload is in a store.

use std::time::Duration;

use credvault_domain::{Action, ConnectionId, Revocation, TenantScope};
use credvault_store::{DATABASE_STORE, ErasedStore, ErasureState, Error, Recorded, Urgency};

use super::{KEPT, anew, erase, stored, tend, with_store};
use crate::fixture::{Fixture, FolderStore, scope, write};
use crate::on_both;

on_both![
    a_lost_store_is_given_up_and_the_statement_says_so,
    what_is_empty_in_a_lost_store_is_neither_given_up_nor_asked_for,
    a_restored_database_removes_nothing_until_it_is_alone,
    a_revocation_whose_payload_is_lost_is_settled,
    what_a_revocation_takes_moves_along,
];

/// The same vault with another store, `us`, in the place of `eu`.
async fn with_us(fixture: &Fixture, us: &FolderStore) -> Fixture {
    let settings = |settings: &mut credvault_store::StoreSettings| {
        with_store(settings, us, false);
        let entry = settings.secrets.by_name.remove("eu").unwrap();
        settings.secrets.by_name.insert("us".to_owned(), entry);
        settings.secrets.default = Some("us".to_owned());
    };
    fixture.reopened(settings).await
}

async fn write_off(vault: &Fixture, name: &str, confirmed: bool) -> Result<u64, Error> {
    let platform = scope(credvault_domain::TenantId::PLATFORM, None);
    let write = write(&platform, Action::WriteOffSecretStore);
    vault.store.secrets().write_off(&platform, name, confirmed, &write).await.map(Recorded::into_inner)
}

async fn a_lost_store_is_given_up_and_the_statement_says_so(fixture: &Fixture) {
    let (before, eu) = stored(fixture).await;
    let acme = before.tenant("acme").await;
    let first = before.connection(&acme, "a").await.id;
    before.put(&acme, first, "CANARY lost").await;
    let us = FolderStore::new(fixture.folder.path().join("us"));
    let vault = with_us(fixture, &us).await;
    let second = vault.connection(&acme, "b").await.id;
    vault.put(&acme, second, "CANARY").await;
    assert_eq!((eu.names().len(), us.names().len()), (1, 1));
    assert!(matches!(write_off(&vault, "ue", false).await, Err(Error::SecretStoreUnknown)));
    assert!(matches!(write_off(&vault, "us", false).await, Err(Error::State(_))), "it is configured");
    // What is in other stores goes although one is lost.
    erase(&vault, &acme).await;
    assert_eq!((us.names(), vault.count("external_payloads").await), (Vec::new(), 1));
    let erasures = vault.store.erasures();
    let waiting = erasures.get(&acme).await.unwrap();
    assert_eq!((waiting.state, waiting.waits_for), (ErasureState::Erasing, vec!["eu".to_owned()]));

    assert_eq!(write_off(&vault, "eu", false).await.unwrap(), 1);
    assert_eq!(write_off(&vault, "eu", false).await.unwrap(), 0);
    assert_eq!(vault.count("audit_events WHERE action = 'WriteOffSecretStore'").await, 2);
    vault.store.upkeep().await.unwrap();
    let erased = erasures.get(&acme).await.unwrap();
    let store =
        |store: &str, removed, written_off| ErasedStore { store: store.to_owned(), removed, written_off };
    assert_eq!(erased.stores, [store("eu", 0, 1), store("us", 1, 0)]);
    let said =
        r#""stores":[{"store":"eu","removed":0,"written_off":1},{"store":"us","removed":1,"written_off":0}]"#;
    assert!(erased.statement.unwrap().text.contains(said));
    assert_eq!(vault.count("external_payloads").await, 0);
    assert_eq!(eu.names().len(), 1);

    // A tenant that lives on: nothing waits for the lost store, and if it comes back, what is in use is served.
    let beta = before.tenant("beta").await;
    let third = before.connection(&beta, "c").await.id;
    before.put(&beta, third, "CANARY old").await;
    before.put(&beta, third, "CANARY new").await;
    assert_eq!(write_off(&before, "eu", true).await.unwrap(), 2);
    let destroy = write(&beta, Action::DestroyCredentialVersion);
    before.store.credentials().destroy(&beta, third, 1, &destroy).await.unwrap().into_inner();
    for _ in 0..3 {
        tend(&before).await;
        before.clock.advance(KEPT);
    }
    assert_eq!((eu.names().len(), before.count("external_payloads").await), (3, 2));
    let back = anew(fixture, &eu, true).await;
    assert_eq!(back.fetch(&beta, third).await.unwrap(), "CANARY new");
}

async fn what_is_empty_in_a_lost_store_is_neither_given_up_nor_asked_for(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let emptied = async |account| {
        let id = vault.connection(&acme, account).await.id;
        vault.put(&acme, id, "CANARY").await;
        let destroy = write(&acme, Action::DestroyCredentialVersion);
        vault.store.credentials().destroy(&acme, id, 1, &destroy).await.unwrap().into_inner();
        tend(&vault).await;
        vault.clock.advance(KEPT);
        tend(&vault).await;
        id
    };
    emptied("a").await;
    assert_eq!(vault.count("external_payloads WHERE reference = ''").await, 1);
    assert_eq!(write_off(&vault, "eu", true).await.unwrap(), 0);
    assert_eq!(vault.count("external_payloads").await, 0);
    // One that was removed while the store was given up.
    let id = emptied("b").await;
    vault.execute("UPDATE external_payloads SET write_off_time = 1").await;
    let connections = vault.store.connections();
    connections.delete(&acme, id, None, &write(&acme, Action::DeleteConnection)).await.unwrap().into_inner();
    connections.purge(&acme, id, None, &write(&acme, Action::PurgeConnection)).await.unwrap().into_inner();
    tend(&vault).await;
    assert_eq!((store.forgotten().len(), vault.count("payload_work").await), (0, 0));
    erase(&vault, &acme).await;
    vault.store.upkeep().await.unwrap();
    let erased = vault.store.erasures().get(&acme).await.unwrap();
    assert_eq!((erased.state, erased.stores), (ErasureState::Erased, Vec::new()));
}

async fn a_restored_database_removes_nothing_until_it_is_alone(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let (acme, beta) = (vault.tenant("acme").await, vault.tenant("beta").await);
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY old").await;
    vault.put(&acme, id, "CANARY new").await;
    let other = vault.connection(&beta, "b").await.id;
    vault.put(&beta, other, "CANARY").await;
    let mark = vault.id(ConnectionId::from_uuid(uuid::Uuid::from_u128(7)));
    let values = format!("(':platform', {mark}, {}, 1)", i64::MAX);
    vault
        .execute(&format!(
            "INSERT INTO payload_work (tenant_id, connection_id, due_time, times) VALUES {values}"
        ))
        .await;
    let destroy = write(&acme, Action::DestroyCredentialVersion);
    vault.store.credentials().destroy(&acme, id, 1, &destroy).await.unwrap().into_inner();
    let wait = async || {
        for _ in 0..3 {
            tend(&vault).await;
            vault.clock.advance(KEPT);
        }
        tend(&vault).await;
    };
    wait().await;
    erase(&vault, &beta).await;
    let orphan = "0198c000-0000-7000-8000-000000000001_0198c000-0000-7000-8000-000000000002".to_owned();
    store.write(&orphan, b"the other vault's");
    let secrets = vault.store.secrets();
    let removed = secrets.remove_orphans("eu", std::slice::from_ref(&orphan), |_| {}).await;
    assert!(matches!(removed, Err(Error::State(_))), "{removed:?}");
    assert_eq!(store.names().len(), 4);
    // Everything else goes on.
    assert_eq!(vault.fetch(&acme, id).await.unwrap(), "CANARY new");
    vault.put(&acme, id, "CANARY newest").await;
    assert_eq!(store.names().len(), 5);

    let platform = scope(credvault_domain::TenantId::PLATFORM, None);
    let own = async || {
        let write = write(&platform, Action::OwnSecretStores);
        secrets.own(&platform, &write).await.unwrap().into_inner()
    };
    assert!(own().await);
    assert!(!own().await);
    wait().await;
    vault.store.upkeep().await.unwrap();
    let mut removed = Vec::new();
    let on_removed = |orphan: &str| removed.push(orphan.to_owned());
    secrets.remove_orphans("eu", std::slice::from_ref(&orphan), on_removed).await.unwrap();
    assert_eq!(removed, [orphan]);
    let left = store.names();
    assert!(left.len() == 2 && left.iter().all(|name| name.starts_with(&id.to_string())), "{left:?}");
    assert_eq!(vault.store.erasures().get(&beta).await.unwrap().state, ErasureState::Erased);
}

/// A connection whose grant is to be revoked.
async fn disconnected(vault: &Fixture, scope: &TenantScope, account: &str) -> ConnectionId {
    let id = vault.connection(scope, account).await.id;
    vault.put(scope, id, "CANARY").await;
    let write = write(scope, Action::DisconnectConnection);
    vault.store.revocations().disconnect(scope, id, None, true, &write).await.unwrap().into_inner();
    id
}

async fn a_revocation_whose_payload_is_lost_is_settled(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = disconnected(&vault, &acme, "a").await;
    let key = vault.store.connection_key(&acme, id);
    let cold = anew(&vault, &store, true).await;
    let revocations = cold.store.revocations();
    // While the store is away, an attempt counts like one that the provider did not answer.
    store.is_away(true);
    let found = revocations.open(&key).await.unwrap().unwrap();
    assert!(found.fields.is_none() && !found.is_lost);
    let after =
        revocations.attempted(&key, Some(found.generation), Revocation::Pending).await.unwrap().unwrap();
    assert_eq!(after.revocation, Some(Revocation::Pending));
    store.is_away(false);
    assert!(revocations.open(&key).await.unwrap().unwrap().fields.is_some());
    // Disabled, or removed past the vault: people may bring it back.
    let lost = async || {
        let cold = anew(&vault, &store, true).await;
        let found = cold.store.revocations().open(&key).await.unwrap().unwrap();
        assert!(found.fields.is_none());
        found.is_lost
    };
    store.is_disabled(true);
    assert!(!lost().await);
    store.is_disabled(false);
    let name = store.names().remove(0);
    store.delete(&name);
    assert!(!lost().await);
    // What is there is something else: no later attempt has it.
    store.write(&name, b"something else");
    assert!(lost().await);
}

async fn what_a_revocation_takes_moves_along(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = disconnected(&vault, &acme, "a").await;
    let kept = "revocations WHERE payload IS NOT NULL";
    assert_eq!(vault.count(kept).await, 1);
    let move_to = async |target: &str| {
        let write = write(&acme, Action::MoveSecrets);
        vault.store.secrets().begin_move(&acme, Some(target), 0, &write).await.unwrap().into_inner();
        while vault.store.keys().work(Urgency::Usual).await.unwrap() > 0 {}
    };
    move_to(DATABASE_STORE).await;
    assert_eq!(vault.count(kept).await, 0);
    // The operator may take the store out of the settings now.
    let without = fixture.reopened(|_| {}).await;
    let key = vault.store.connection_key(&acme, id);
    assert!(without.store.revocations().open(&key).await.unwrap().unwrap().fields.is_some());
    vault.clock.advance(Duration::from_secs(1));
    move_to("eu").await;
    assert_eq!(vault.count(kept).await, 1);
    let cold = anew(&vault, &store, true).await;
    assert!(cold.store.revocations().open(&key).await.unwrap().unwrap().fields.is_some());
}
