//! Requests and settings that no rotation begins with: each is refused by its own reason and changes nothing.

use std::sync::Arc;

use credvault::settings::RootKeySection;
use credvault_crypto::SystemRandom;
use credvault_proto::v1;

use super::{all_open, filled, rotate_root, status, with_other};
use crate::harness::{VaultBuilder, eventually, refusal};
use crate::on_both;

on_both![
    a_rotation_of_the_root_key_begun_twice_is_refused_and_on_record,
    a_root_key_of_another_source_is_refused_before_anything_is_written,
];

async fn a_rotation_of_the_root_key_begun_twice_is_refused_and_on_record(builder: VaultBuilder) {
    let vault = builder.settings(with_other).start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    let kept = filled(&app, 2).await;
    let before = status(&operator, "").await.root_keys;
    // Slow enough to be in progress when the others come.
    let slow = v1::RotateRootKeyRequest { records_per_second: 1, ..Default::default() };
    let first = operator.admin().rotate_root_key(slow.clone()).await.unwrap();
    let back = v1::RotateRootKeyRequest { root_key_id: before[0].id.clone(), ..Default::default() };
    let forth = v1::RotateRootKeyRequest { root_key_id: before[1].id.clone(), ..Default::default() };
    for again in [slow, back, forth] {
        let refused = rotate_root(&operator, again).await.unwrap_err();
        assert_eq!(refusal(&refused), "FailedPrecondition ROTATION_RUNNING");
    }
    drop(first);
    eventually("the rotation ends", || async {
        status(&operator, "").await.root_rotation.is_some_and(|rotation| !rotation.running)
    })
    .await;
    let after = status(&operator, "").await;
    assert_eq!(after.root_key.unwrap().id, before[1].id, "the first one has led where it should");
    assert_eq!(after.root_rotation.unwrap().done, 2, "the tenant and the platform");
    assert_eq!(vault.platform_records("RotateRootKey", "ROTATION_RUNNING").await, 3);
    all_open(&app, &kept).await;
}

async fn a_root_key_of_another_source_is_refused_before_anything_is_written(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let kept = filled(&vault.app("acme").await, 2).await;
    vault.stop().await;
    let file = vault.settings.root_key.clone();
    vault.write("wrong.key", &format!("{}02", "b6".repeat(31)));
    let wrong = RootKeySection { file: Some(vault.folder.path().join("wrong.key")), ..Default::default() };
    let passphrase = Some("CANARY passphrase of a person".to_owned().into());
    let passphrase = RootKeySection { passphrase, ..Default::default() };
    for other in [wrong, passphrase] {
        vault.settings.root_key = other;
        let (settings, clock) = (vault.settings.check().unwrap(), Arc::new(vault.clock.clone()));
        let refused = credvault::Instance::start(settings, clock, Arc::new(SystemRandom)).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("another root key"), "{refused}");
        assert_eq!(vault.count("root_keys").await, 1);
    }
    vault.settings.root_key = file;
    vault.start().await;
    all_open(&vault.client("app").await.acting_for("acme", None), &kept).await;
}
