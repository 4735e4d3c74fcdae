//! An erased tenant stays erased: what was backed up before the erasure does not bring it back.

use credvault_proto::v1;

use crate::harness::backup::postgres_place;
use crate::harness::{TestVault, VaultBuilder, by_id, generic, refusal};
use crate::on_both;

use super::{Kept, filled, serves};

on_both![
    a_tenant_that_was_erased_stays_erased_in_a_backup_from_before,
    erasures_that_a_replaced_and_a_newer_key_have_signed_are_taken,
];

/// Erases a tenant as an administrator does: asks, and confirms.
pub async fn erase(vault: &TestVault, tenant: &str) {
    let operator = vault.client("operator").await;
    let ask = v1::EraseTenantRequest { tenant_id: tenant.to_owned(), ..Default::default() };
    let asked = operator.admin().erase_tenant(ask.clone()).await.unwrap().into_inner();
    let confirm = v1::EraseTenantRequest { confirmation_token: asked.confirmation_token, ..ask };
    operator.admin().erase_tenant(confirm).await.unwrap();
}

async fn a_tenant_that_was_erased_stays_erased_in_a_backup_from_before(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let kept = filled(&vault).await;
    vault.back_up("before.backup").await.done();
    erase(&vault, "acme").await;
    // This one came and went between the backup and the restore.
    vault.app("brief").await.create(generic("a", "CANARY brief")).await.unwrap();
    erase(&vault, "brief").await;
    let after = vault.back_up("after.backup").await.done();
    assert_eq!(after["manifest"]["erased_tenants"], serde_json::json!(["acme", "brief"]));
    vault.write_profile("operator");
    let list = vault.run(&["tenants", "erasures", "--profile", "operator.toml", "--output", "json"]).await;
    vault.write("erasures.json", &list.done().to_string());
    vault.stop().await;
    let (erased, others): (Vec<Kept>, Vec<Kept>) = kept.into_iter().partition(|kept| kept.tenant == "acme");
    let from_before: &[&str] = &["--erasures", "erasures.json"];
    for (file, more) in [("before.backup", from_before), ("after.backup", &[])] {
        for place in [vault.sqlite_place(&format!("{file}.db")), postgres_place().await] {
            let restored = vault.restore(file, &place, more).await.done();
            let since =
                if more.is_empty() { serde_json::json!([]) } else { serde_json::json!(["acme", "brief"]) };
            assert_eq!(restored["erased_since"], since);
            vault.start_on(&place).await;
            stays_erased(&vault, &erased).await;
            serves(&vault, &others).await;
            vault.stop().await;
        }
    }
    refuses_other_lists(&vault).await;
}

async fn erasures_that_a_replaced_and_a_newer_key_have_signed_are_taken(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    filled(&vault).await;
    erase(&vault, "acme").await;
    let operator = vault.client("operator").await;
    let before = vault.back_up("before.backup").await.done();
    operator.admin().rotate_signing_key(v1::RotateSigningKeyRequest::default()).await.unwrap();
    let after = vault.back_up("after.backup").await.done();
    erase(&vault, "other").await;
    vault.write_profile("operator");
    let list = vault.run(&["tenants", "erasures", "--profile", "operator.toml", "--output", "json"]).await;
    vault.write("erasures.json", &list.done().to_string());
    let shown =
        vault.run(&["keys", "signing-key", "--profile", "operator.toml", "--output", "json"]).await.done();
    // A key whose private half does not open was put there past the vault, whatever its public half is.
    vault.sql("UPDATE signing_keys SET sealed = (SELECT sealed FROM signing_keys WHERE generation = 2) WHERE generation = 1").await;
    vault.back_up("altered.backup").await.done();
    vault.stop().await;
    let [newer, older] = [&after, &before].map(|made| made["manifest"]["public_key"].as_str().unwrap());
    assert_eq!(
        (shown["publicKey"].as_str(), shown["keys"][1]["publicKey"].as_str()),
        (Some(newer), Some(older))
    );
    assert_ne!(newer, older);

    let list = ["--erasures", "erasures.json"];
    let place = vault.sqlite_place("after.db");
    vault.restore("after.backup", &place, &list).await.done();
    let place = vault.sqlite_place("altered.db");
    let refused = vault.restore("altered.backup", &place, &list).await.refused(5);
    assert!(refused.contains("--public-key"), "{refused}");
    // The backup from before the new key does not know it.
    let place = vault.sqlite_place("before.db");
    let refused = vault.restore("before.backup", &place, &list).await.refused(5);
    assert!(refused.contains("--public-key"), "{refused}");
    let only = [&list[..], &["--public-key", newer]].concat();
    let refused = vault.restore("before.backup", &place, &only).await.refused(5);
    assert!(refused.contains("has replaced its signing key"), "{refused}");
    let both = [&only[..], &["--public-key", older]].concat();
    let restored = vault.restore("before.backup", &place, &both).await.done();
    assert_eq!(restored["erased_since"], serde_json::json!(["other"]));
    vault.verify("before.backup", &["--public-key", older]).await.done();
}

/// No row, no key, no answer, and the id is never given away again.
async fn stays_erased(vault: &TestVault, erased: &[Kept]) {
    for table in ["tenant_keys", "connections", "credential_versions", "connection_health", "requests"] {
        assert_eq!(vault.count(&format!("{table} WHERE tenant_id IN ('acme', 'brief')")).await, 0, "{table}");
    }
    assert_eq!(vault.count("erasures").await, 2);
    assert_eq!(vault.count("tenants WHERE tenant_id = 'acme' AND display_name = ''").await, 1);
    let app = vault.client("app").await.acting_for("acme", None);
    for kept in erased {
        let refused = app.fetch(by_id(&kept.id)).await.unwrap_err();
        assert_eq!(refusal(&refused), "NotFound TENANT_NOT_FOUND");
    }
    let operator = vault.client("operator").await;
    for tenant in ["acme", "brief"] {
        let create = v1::CreateTenantRequest { tenant_id: tenant.into(), ..Default::default() };
        let refused = operator.admin().create_tenant(create).await.unwrap_err();
        assert_eq!(refusal(&refused), "AlreadyExists TENANT_ERASED");
        let request = v1::GetErasureRequest { tenant_id: tenant.into() };
        let erasure = operator.admin().get_erasure(request).await.unwrap().into_inner().erasure.unwrap();
        assert!(!erasure.statement.is_empty() && erasure.signature.len() == 64);
    }
}

/// A list that was altered, that is none, and a restore that says nothing of erasures.
async fn refuses_other_lists(vault: &TestVault) {
    let place = vault.sqlite_place("refused.db");
    let list = std::fs::read_to_string(vault.folder.path().join("erasures.json")).unwrap();
    let altered = list.replacen("\\\"tenant\\\":\\\"acme\\\"", "\\\"tenant\\\":\\\"bcme\\\"", 1);
    assert_ne!(altered, list);
    vault.write("altered.json", &altered);
    let refused = vault.restore("before.backup", &place, &["--erasures", "altered.json"]).await.refused(5);
    assert!(refused.contains("the signature of an erasure does not verify"), "{refused}");
    // The id beside the statement is not signed, so it must be the statement's.
    let altered = list.replacen("\"tenantId\":\"acme\"", "\"tenantId\":\"other\"", 1);
    assert_ne!(altered, list);
    vault.write("altered.json", &altered);
    let refused = vault.restore("before.backup", &place, &["--erasures", "altered.json"]).await.refused(5);
    assert!(refused.contains("is about another tenant"), "{refused}");
    vault.write("altered.json", "[3]");
    let refused = vault.restore("before.backup", &place, &["--erasures", "altered.json"]).await.refused(5);
    assert!(refused.contains("it is no JSON list of erasures"), "{refused}");
    let arguments = ["restore", "--from", "before.backup", "--config", "credvault.toml"];
    let refused = vault.run(&arguments).await.refused(2);
    assert!(refused.contains("--erasures"), "{refused}");
}
