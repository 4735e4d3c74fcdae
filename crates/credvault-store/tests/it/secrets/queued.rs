//! Which connections are looked at, and when: shares of tenants, replicas without stores, what nothing has queued.

use credvault_domain::Action;
use credvault_store::Error;

use super::moved::{finish, move_to};
use super::{anew, stored, tend};
use crate::fixture::{Fixture, FolderStore, credential, write};
use crate::on_both;

on_both![
    a_tenant_with_many_does_not_fill_a_pass,
    a_tenant_with_very_many_does_not_hide_the_others,
    a_replica_without_stores_neither_keeps_nor_loses,
    what_nothing_has_queued_is_found,
    what_another_replica_has_left_in_the_database_is_found,
];

async fn a_tenant_with_many_does_not_fill_a_pass(fixture: &Fixture) {
    let (vault, _) = stored(fixture).await;
    vault.tenant("acme").await;
    let beta = vault.tenant("beta").await;
    let id = vault.connection(&beta, "b").await.id;
    vault.put(&beta, id, "CANARY").await;
    let random = if vault.postgres.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
    let many = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         INSERT INTO payload_work (tenant_id, connection_id, due_time) SELECT 'acme', {random}, i FROM n"
    );
    assert_eq!(vault.execute(&many).await, 100);
    assert_eq!(vault.store.secrets().work().await.unwrap(), 64);
    assert_eq!(vault.count("payload_work WHERE tenant_id = 'beta'").await, 0);
    assert_eq!(vault.count("payload_work WHERE tenant_id = 'acme'").await, 37);
    tend(&vault).await;
    assert_eq!(vault.count("payload_work").await, 0);
}

async fn a_tenant_with_very_many_does_not_hide_the_others(fixture: &Fixture) {
    let (vault, _) = stored(fixture).await;
    vault.tenant("acme").await;
    let random = if vault.postgres.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
    let many = |tenant: &str, count: u32, due: &str| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO payload_work (tenant_id, connection_id, due_time) SELECT '{tenant}', {random}, {due} FROM n"
        )
    };
    vault.execute(&many("acme", 1500, "i")).await;
    for tenant in ["beta", "gamma"] {
        vault.tenant(tenant).await;
        vault.execute(&many(tenant, 20, "5000 + i")).await;
    }
    // One that is not due, and one that another process is at.
    vault.execute(&many("beta", 1, &i64::MAX.to_string())).await;
    let leased = "UPDATE payload_work SET lease_time = 9223372036854775807 WHERE tenant_id = 'gamma' AND due_time = 5001";
    assert_eq!(vault.execute(leased).await, 1);
    assert_eq!(vault.store.secrets().work().await.unwrap(), 64);
    let left = async |tenant: &str| vault.count(&format!("payload_work WHERE tenant_id = '{tenant}'")).await;
    // First a share of each, and then more of the one that has waited longest.
    assert_eq!((left("acme").await, left("beta").await, left("gamma").await), (1500 - 32, 5, 4));
}

async fn a_replica_without_stores_neither_keeps_nor_loses(fixture: &Fixture) {
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    let vault = anew(fixture, &store, false).await;
    let (acme, beta) = (vault.tenant("acme").await, vault.tenant("beta").await);
    let (id, of_beta) = (vault.connection(&acme, "a").await.id, vault.connection(&beta, "b").await.id);
    move_to(&vault, &acme, Some("eu")).await.unwrap();
    finish(&vault, &acme).await;
    vault.put(&acme, id, "CANARY first").await;
    vault.put(&acme, id, "CANARY second").await;
    tend(&vault).await;
    let without = fixture.reopened(|_| {}).await;
    let (new, put) = (credential("CANARY third"), write(&acme, Action::PutCredential));
    let refused = without.store.credentials().put(&acme, id, &new, None, &put).await;
    assert!(matches!(&refused, Err(Error::SecretStore { store, .. }) if store == "eu"), "{refused:?}");
    // What it destroys is removed by the others.
    assert_eq!(vault.count("payload_work").await, 0);
    let destroy = write(&acme, Action::DestroyCredentialVersion);
    let _ = without.store.credentials().destroy(&acme, id, 1, &destroy).await.unwrap();
    assert_eq!(vault.count("payload_work").await, 1);
    tend(&vault).await;
    vault.clock.advance(super::KEPT);
    tend(&vault).await;
    assert_eq!(store.names().len(), 1);
    // A tenant that keeps its secrets in the database has nothing to do with stores.
    without.put(&beta, of_beta, "CANARY beta").await;
    assert_eq!(vault.count("payload_work").await, 0);
}

async fn what_nothing_has_queued_is_found(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    for account in ["a", "b"] {
        let id = vault.connection(&acme, account).await.id;
        vault.put(&acme, id, "CANARY first").await;
        vault.put(&acme, id, "CANARY second").await;
        if account == "b" {
            let destroy = write(&acme, Action::DestroyCredentialVersion);
            let _ = vault.store.credentials().destroy(&acme, id, 1, &destroy).await.unwrap();
        }
    }
    vault.execute("DELETE FROM payload_work").await;
    let secrets = vault.store.secrets();
    assert_eq!(secrets.look_through().await.unwrap(), 1);
    assert_eq!(secrets.look_through().await.unwrap(), 0);
    tend(&vault).await;
    vault.clock.advance(super::KEPT);
    tend(&vault).await;
    assert_eq!(store.names().len(), 3);
    assert_eq!(secrets.look_through().await.unwrap(), 0);
}

async fn what_another_replica_has_left_in_the_database_is_found(fixture: &Fixture) {
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    let without = anew(fixture, &store, false).await;
    let (acme, beta) = (without.tenant("acme").await, without.tenant("beta").await);
    for index in 0..3 {
        let id = without.connection(&acme, &format!("a{index}")).await.id;
        without.put(&acme, id, "CANARY").await;
    }
    let of_beta = without.connection(&beta, "b").await.id;
    without.put(&beta, of_beta, "CANARY").await;
    assert_eq!(without.store.secrets().look_through().await.unwrap(), 0);
    // A replica of an earlier release does not see what `acme` has chosen. `beta` follows the settings, which are for new ones.
    without.execute("UPDATE tenants SET secret_store = 'eu' WHERE tenant_id = 'acme'").await;
    let vault = anew(fixture, &store, true).await;
    let secrets = vault.store.secrets();
    assert_eq!(secrets.look_through().await.unwrap(), 3);
    assert_eq!(secrets.look_through().await.unwrap(), 0);
    tend(&vault).await;
    assert_eq!(store.names().len(), 3);
    assert_eq!(secrets.look_through().await.unwrap(), 0);
}
