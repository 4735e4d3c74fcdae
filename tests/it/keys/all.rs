//! `keys rotate --all` and `keys status --all`: one tenant whose keys do not open keeps no other from its turn.

use serde_json::Value;

use super::{filled, status};
use crate::harness::VaultBuilder;
use crate::on_both;

on_both![the_keys_of_all_tenants_are_rotated_although_one_is_broken];

async fn the_keys_of_all_tenants_are_rotated_although_one_is_broken(builder: VaultBuilder) {
    let vault = builder.start().await;
    let operator = vault.client("operator").await;
    for tenant in ["a", "b", "c"] {
        filled(&vault.app(tenant).await, 2).await;
    }
    vault.write_profile("operator");
    let run = async |code: i32, arguments: &[&str]| {
        let profile = ["--profile", "operator.toml", "--output", "json"];
        let ran = vault.run(&[arguments, &profile].concat()).await;
        assert_eq!(ran.code, code, "{}", ran.error);
        ran
    };
    let of = |rows: &Value, tenant: &str, member: &str| {
        let row = rows["items"].as_array().unwrap().iter().find(|row| row["tenantId"] == tenant).unwrap();
        row[member].clone()
    };
    let all = run(0, &["keys", "status", "--all"]).await.result;
    for tenant in ["a", "b", "c", ":platform"] {
        assert_eq!(of(&all, tenant, "version"), 1);
    }
    let done = run(0, &["keys", "rotate", "--all"]).await.result;
    for tenant in ["a", "b", "c", ":platform"] {
        assert_eq!((of(&done, tenant, "state"), of(&done, tenant, "version")), ("done".into(), 2.into()));
    }
    assert_eq!(of(&done, "a", "done"), 5);

    // The keys of one tenant are those of another one now.
    vault
        .sql(
            "UPDATE tenant_keys SET wrapped = (SELECT o.wrapped FROM tenant_keys o
             WHERE o.tenant_id = 'c' AND o.version = tenant_keys.version) WHERE tenant_id = 'b'",
        )
        .await;
    let rotated = run(7, &["keys", "rotate", "--all", "--retire-at-once"]).await;
    assert!(rotated.error.contains("1 tenants were refused"), "{}", rotated.error);
    assert_eq!(of(&rotated.result, "b", "state"), "refused");
    assert_eq!(of(&rotated.result, "b", "reason"), "INTEGRITY_FAILURE");
    for tenant in ["a", "c", ":platform"] {
        assert_eq!(of(&rotated.result, tenant, "state"), "done");
    }
    assert_eq!(status(&operator, "c").await.tenant_keys[0].version, 3);
    // To look takes no key.
    let all = run(0, &["keys", "status", "--all"]).await.result;
    assert_eq!(of(&all, "b", "version"), 2);
    assert_eq!((of(&all, "c", "version"), of(&all, "c", "underOlderKeys")), (3.into(), 0.into()));
    for wrong in [&["keys", "rotate", "a", "--all"][..], &["keys", "rotate", "--all", "--watch"]] {
        run(2, wrong).await;
    }
}
