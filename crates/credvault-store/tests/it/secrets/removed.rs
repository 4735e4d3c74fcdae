//! What is removed from stores, and what is not: empty secrets, altered rows, puts that are on their way.

use std::time::Duration;

use credvault_domain::{Action, Clock as _};

use super::{anew, erase, stored, tend};
use crate::fixture::{Fixture, credential, write};
use crate::on_both;

on_both![
    what_is_empty_is_forgotten_with_its_connection,
    a_removal_asks_the_records,
    many_removals_are_made_in_turns,
    of_removals_at_once_one_row_stays,
    what_is_put_while_a_tenant_is_erased_keeps_the_erasure_open,
];

async fn what_is_empty_is_forgotten_with_its_connection(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY first").await;
    vault.put(&acme, id, "CANARY second").await;
    for version in [1, 2] {
        let destroy = write(&acme, Action::DestroyCredentialVersion);
        let _ = vault.store.credentials().destroy(&acme, id, version, &destroy).await.unwrap();
    }
    tend(&vault).await;
    vault.clock.advance(super::KEPT);
    tend(&vault).await;
    // The connection may have another secret there, so one row remembers it.
    assert_eq!((store.names().len(), store.forgotten().len()), (0, 0));
    assert_eq!(vault.count("external_payloads").await, 1);
    assert_eq!(vault.count("payload_work").await, 0);
    let connections = vault.store.connections();
    let _ = connections.delete(&acme, id, None, &write(&acme, Action::DeleteConnection)).await.unwrap();
    let _ = connections.purge(&acme, id, None, &write(&acme, Action::PurgeConnection)).await.unwrap();
    store.is_away(true);
    tend(&vault).await;
    assert_eq!(vault.count("external_payloads").await, 1);
    store.is_away(false);
    vault.clock.advance(Duration::from_secs(600));
    tend(&vault).await;
    assert_eq!(store.forgotten(), [id.to_string()]);
    assert_eq!((vault.count("external_payloads").await, vault.count("payload_work").await), (0, 0));
}

async fn a_removal_asks_the_records(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY").await;
    tend(&vault).await;
    // A second row for the same payload, to which no column refers, and whose time is over.
    let random = if vault.postgres.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
    let altered = format!(
        "INSERT INTO external_payloads (tenant_id, id, connection_id, store, reference, create_time, drop_time)
         SELECT tenant_id, {random}, connection_id, store, reference, 1, 1 FROM external_payloads"
    );
    assert_eq!(vault.execute(&altered).await, 1);
    assert_eq!(vault.store.secrets().look_through().await.unwrap(), 1);
    for _ in 0..3 {
        tend(&vault).await;
        vault.clock.advance(super::KEPT * 4);
    }
    assert_eq!(store.names().len(), 1);
    let other = anew(&vault, &store, true).await;
    assert_eq!(other.fetch(&acme, id).await.unwrap(), "CANARY");
    // Nor does a column that was emptied have anything removed.
    vault.execute("UPDATE credential_versions SET payload = NULL").await;
    vault.execute("UPDATE external_payloads SET drop_time = 1").await;
    vault.clock.advance(super::KEPT * 4);
    tend(&vault).await;
    let other = anew(&vault, &store, true).await;
    assert_eq!(other.fetch(&acme, id).await.unwrap(), "CANARY");
}

async fn many_removals_are_made_in_turns(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY").await;
    tend(&vault).await;
    let random = if vault.postgres.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
    let many = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         INSERT INTO external_payloads (tenant_id, id, connection_id, store, reference, create_time, drop_time)
         SELECT tenant_id, {random}, connection_id, store, '{id}_' || i, 1, 1 FROM external_payloads, n"
    );
    assert_eq!(vault.execute(&many).await, 100);
    assert_eq!(vault.store.secrets().look_through().await.unwrap(), 1);
    for left in [53, 5, 1] {
        assert_eq!(vault.store.secrets().work().await.unwrap(), 1);
        assert_eq!(vault.count("external_payloads").await, left);
    }
    tend(&vault).await;
    assert_eq!((vault.count("payload_work").await, store.names().len()), (0, 1));
}

async fn of_removals_at_once_one_row_stays(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    store.refuses(true);
    for round in 1..=5 {
        let id = vault.connection(&acme, &format!("a{round}")).await.id;
        let puts = (0..6).map(|_| {
            let (vault, acme) = (&vault, &acme);
            async move {
                let (new, put) = (credential("CANARY"), write(acme, Action::PutCredential));
                assert!(vault.store.credentials().put(acme, id, &new, None, &put).await.is_err());
            }
        });
        futures::future::join_all(puts).await;
        assert_eq!(vault.count("external_payloads").await, round);
    }
}

async fn what_is_put_while_a_tenant_is_erased_keeps_the_erasure_open(fixture: &Fixture) {
    let (vault, store) = stored(fixture).await;
    let acme = vault.tenant("acme").await;
    let id = vault.connection(&acme, "a").await.id;
    vault.put(&acme, id, "CANARY").await;
    // Another replica has begun to put, and its call to the store is on its way.
    let random = if vault.postgres.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
    let begun = format!(
        "INSERT INTO external_payloads (tenant_id, id, connection_id, store, create_time)
         SELECT tenant_id, {random}, connection_id, store, {} FROM external_payloads",
        vault.clock.now().micros()
    );
    assert_eq!(vault.execute(&begun).await, 1);
    erase(&vault, &acme).await;
    assert_eq!((store.names().len(), vault.count("external_payloads").await), (0, 1));
    assert_eq!(vault.count("erasures WHERE state = 'ERASING'").await, 1);
    store.write(&format!("{id}_late"), b"sealed");
    vault.store.upkeep().await.unwrap();
    assert_eq!(vault.count("erasures WHERE state = 'ERASING'").await, 1);
    vault.clock.advance(Duration::from_secs(301));
    vault.store.upkeep().await.unwrap();
    assert_eq!((store.names().len(), vault.count("external_payloads").await), (0, 0));
    assert_eq!(vault.count("erasures WHERE state = 'ERASED'").await, 1);
    // Nothing is put for an erased tenant any more.
    let (new, put) = (credential("CANARY"), write(&acme, Action::PutCredential));
    assert!(vault.store.credentials().put(&acme, id, &new, None, &put).await.is_err());
    assert_eq!((store.names().len(), vault.count("external_payloads").await), (0, 0));
}
