//! A backup that is written once more under the root key that wraps now: it needs the older one no more, and has no tenant
//! that was erased since.

use std::path::Path;

use credvault::settings::RawSettings;
use credvault_proto::v1;

use crate::harness::backup::postgres_place;
use crate::harness::{VaultBuilder, refusal, write};
use crate::on_both;

use super::erased::erase;
use super::{filled, serves};

on_both![a_backup_under_the_newest_root_key_needs_the_older_one_no_more];

/// A second root key, in a file `other.key` of the vault's folder.
fn with_other(settings: &mut RawSettings, folder: &Path) {
    write(folder, "other.key", &format!("{}01", "a5".repeat(31)));
    settings.other_root_key.file = Some(folder.join("other.key"));
}

async fn a_backup_under_the_newest_root_key_needs_the_older_one_no_more(builder: VaultBuilder) {
    let mut vault = builder.settings(with_other).start().await;
    let kept = filled(&vault).await;
    let made = vault.back_up("old.backup").await.done();
    erase(&vault, "acme").await;
    vault.write_profile("operator");
    let rotate = ["keys", "rotate-root", "--profile", "operator.toml", "--output", "json"];
    vault.run(&rotate).await.done();
    let folder = vault.folder.path().to_owned();
    let both = format!("other_root_key.file={}", folder.join("other.key").display());
    let rewrap = ["backup", "rewrap", "old.backup", "--to", "new.backup", "--config", "credvault.toml"];
    let rewrap = [&rewrap[..], &["--set", &both, "--output", "json"]].concat();
    let rewrapped = vault.run(&rewrap).await.done();
    assert_eq!(rewrapped["time"], made["time"], "it has the same data");
    assert_eq!(rewrapped["manifest"]["erased_tenants"], serde_json::json!(["acme"]));
    assert_ne!(rewrapped["manifest"]["root_key_ids"], made["manifest"]["root_key_ids"]);
    let there = vault.run(&rewrap).await.refused(2);
    assert!(there.contains("is there already"), "{there}");
    assert_eq!(vault.platform_records("BackUp", "").await, 2);
    vault.stop().await;

    std::fs::remove_file(folder.join("root.key")).unwrap();
    let newest = format!("root_key.file={}", folder.join("other.key").display());
    let refused = vault.verify("old.backup", &["--set", &newest]).await.refused(5);
    assert!(refused.contains("was made under the root key"), "{refused}");
    let verified = vault.verify("new.backup", &["--set", &newest]).await.done();
    assert_eq!(verified["tenant_keys"], 3, "two tenants and the platform");
    let (erased, others): (Vec<_>, Vec<_>) = kept.into_iter().partition(|kept| kept.tenant == "acme");
    assert!(!erased.is_empty());
    for mut place in [vault.sqlite_place("restored.db"), postgres_place().await] {
        place.flags.push(newest.clone());
        vault.restore("new.backup", &place, &[]).await.done();
        vault.start_on(&place).await;
        serves(&vault, &others).await;
        assert_eq!(vault.count("tenant_keys WHERE tenant_id = 'acme'").await, 0);
        assert_eq!(vault.count("root_keys WHERE state = 'ACTIVE'").await, 1);
        let create = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
        let operator = vault.client("operator").await;
        let refused = operator.admin().create_tenant(create).await.unwrap_err();
        assert_eq!(refusal(&refused), "AlreadyExists TENANT_ERASED");
        vault.stop().await;
    }
}
