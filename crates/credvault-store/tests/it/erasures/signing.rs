//! The vault's signing key: one for all replicas, kept over restarts, and sealed.

use credvault_store::Error;

use crate::fixture::{Fixture, open_store};
use crate::on_both;

on_both![replicas_that_make_the_first_key_at_once_end_up_with_one, a_key_that_was_altered_signs_nothing];

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
