//! The keys of a tenant's log outlive a rotation of the tenant's key, whichever release ends it.

use std::time::Duration;

use credvault_domain::Action;
use credvault_store::{TenantRotation, Urgency};

use crate::audit::{ids, record};
use crate::fixture::{Fixture, write};
use crate::on_both;

on_both![a_rotation_that_an_earlier_release_ends_leaves_the_log_readable];

async fn a_rotation_that_an_earlier_release_ends_leaves_the_log_readable(fixture: &Fixture) {
    let (store, acme) = (&fixture.store, fixture.tenant("acme").await);
    record(fixture, &acme, 5).await;
    fixture.sequence().await;
    let before = ids(fixture, "acme").await;
    fixture.execute("CREATE TABLE kept AS SELECT * FROM audit_keys WHERE tenant_id = 'acme'").await;
    let at_once = TenantRotation { records_per_second: 0, retire_after: Duration::ZERO };
    let begin = write(&acme, Action::RotateTenantKey);
    let _ = store.keys().begin_tenant_rotation(&acme, at_once, &begin).await.unwrap();
    while store.keys().work(Urgency::AtOnce).await.unwrap() > 0 {}
    // The audit key as it is after a rotation by a release that does not know the table.
    let sealed = "SELECT k.sealed FROM kept k WHERE k.number = audit_keys.number";
    let left = format!(
        "UPDATE audit_keys SET key_version = 1, sealed = ({sealed}) WHERE tenant_id = 'acme' AND number = 1"
    );
    assert_eq!(fixture.execute(&left).await, 1);
    fixture.execute("DROP TABLE kept").await;
    let earlier =
        fixture.try_execute("DELETE FROM tenant_keys WHERE tenant_id = 'acme' AND version = 1").await;
    assert!(earlier.is_err(), "the key is destroyed, and the log with it");

    // Keys retire by the database's clock, which does not stand still.
    fixture.clock.advance(Duration::from_secs(600));
    assert_eq!(store.keys().destroy_retired().await.unwrap(), 1);
    assert_eq!(fixture.count("audit_keys WHERE tenant_id = 'acme' AND key_version = 1").await, 0);
    assert!(ids(fixture, "acme").await.is_superset(&before));
    record(fixture, &acme, 3).await;
    fixture.sequence().await;
    assert!(ids(fixture, "acme").await.len() >= before.len() + 3);
}
