//! The vault's signing key: one for all replicas, kept over restarts, and sealed.

use std::time::Duration;

use credvault_crypto::verify_statement;
use credvault_domain::{Action, TenantId};
use credvault_store::{Error, Recorded, TenantRotation, Urgency};
use uuid::Uuid;

use crate::fixture::{Fixture, open_store, repeatable, scope, write};
use crate::on_both;

on_both![
    replicas_that_make_the_first_key_at_once_end_up_with_one,
    a_key_that_was_altered_signs_nothing,
    another_key_takes_the_place_of_one_and_the_replaced_one_is_still_shown,
];

async fn replicas_that_make_the_first_key_at_once_end_up_with_one(fixture: &Fixture) {
    let other = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    let (one, two, three) = tokio::join!(fixture.store.signer(), other.signer(), fixture.store.signer());
    let (one, two, three) = (one.unwrap(), two.unwrap(), three.unwrap());
    assert_eq!(one.public_key(), two.public_key());
    assert_eq!(one.public_key(), three.public_key());
    assert_eq!(one.key_id().len(), 16);
    assert_eq!(fixture.count("signing_keys").await, 1);
    other.close().await;
    let again = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    assert_eq!(again.signer().await.unwrap().public_key(), one.public_key());
    again.close().await;
}

async fn a_key_that_was_altered_signs_nothing(fixture: &Fixture) {
    fixture.store.signer().await.unwrap();
    let other = if fixture.postgres.is_some() { "decode(repeat('07', 32), 'hex')" } else { "zeroblob(32)" };
    fixture.execute(&format!("UPDATE signing_keys SET public_key = {other}")).await;
    assert!(matches!(fixture.store.signer().await, Err(Error::Integrity)));
}

async fn another_key_takes_the_place_of_one_and_the_replaced_one_is_still_shown(fixture: &Fixture) {
    let (store, platform) = (&fixture.store, scope(TenantId::PLATFORM, None));
    let first = store.signer().await.unwrap();
    let signature = first.sign("test", b"before");
    let ask = repeatable(&platform, Action::RotateSigningKey, Uuid::from_u128(1), "r");
    let made = store.replace_signer(&platform, &ask).await.unwrap().into_inner();
    let again = store.replace_signer(&platform, &ask).await.map(Recorded::into_inner);
    assert_eq!(again.unwrap(), made, "the same request, made twice");
    assert_eq!(fixture.count("signing_keys").await, 2);
    assert_eq!(store.signer().await.unwrap().public_key(), made.public_key);
    let replaced = async || {
        let keys = store.signing_keys().await.unwrap();
        assert_eq!(keys[0], made);
        assert!(keys.len() == 2 && keys[1].id == first.key_id());
        assert!(verify_statement(&keys[1].public_key, "test", b"before", &signature));
    };
    replaced().await;
    // Both are sealed anew with the platform's key.
    let at_once = TenantRotation { records_per_second: 0, retire_after: Duration::ZERO };
    let begin = write(&platform, Action::RotateTenantKey);
    let _ = store.keys().begin_tenant_rotation(&platform, at_once, &begin).await.unwrap();
    while store.keys().work(Urgency::AtOnce).await.unwrap() > 0 {}
    replaced().await;

    // What was put in the place of a replaced key is not shown, and what was put in that of the newest neither signs nor
    // stands in the way of another one.
    let other = if fixture.postgres.is_some() { "decode(repeat('07', 32), 'hex')" } else { "zeroblob(32)" };
    let alter =
        |generation| format!("UPDATE signing_keys SET public_key = {other} WHERE generation = {generation}");
    fixture.execute(&alter(1)).await;
    assert_eq!(store.signing_keys().await.unwrap(), [made]);
    fixture.execute(&alter(2)).await;
    assert!(matches!(store.signing_keys().await, Err(Error::Integrity)));
    let ask = write(&platform, Action::RotateSigningKey);
    let third = store.replace_signer(&platform, &ask).await.unwrap().into_inner();
    assert_eq!(store.signing_keys().await.unwrap(), [third]);
}
