//! Where imports stop as creations do: at the tenant's own quotas, and at names that are taken.

use std::ops::Range;

use credvault_proto::v1;
use serde_json::json;

use super::{import, item, outcomes, send};
use crate::harness::{Client, TestVault, VaultBuilder, generic, refusal};
use crate::on_both;

on_both![imports_stop_where_creations_do];

const FULL: &str = "ResourceExhausted QUOTA_EXCEEDED";

async fn imports_stop_where_creations_do(builder: VaultBuilder) {
    let builder = builder.settings(|settings, _| {
        settings.store.tenant_connection_quota = 40;
        settings.store.user_connection_quota = 3;
    });
    let vault = builder.start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    set_quotas(&operator, 2, 1).await;
    lower_quotas_count(&vault, &app).await;
    set_quotas(&operator, 50, 45).await;
    higher_quotas_count(&app).await;
    a_dry_run_knows_the_names_of_all_its_batches(&vault).await;
}

async fn set_quotas(operator: &Client, of_tenant: i64, of_user: i64) {
    let change = |kind: v1::LimitKind, value| v1::LimitChange { kind: kind.into(), value: Some(value) };
    let request = v1::SetTenantLimitsRequest {
        tenant_id: "acme".to_owned(),
        changes: vec![
            change(v1::LimitKind::Connections, of_tenant),
            change(v1::LimitKind::UserConnections, of_user),
        ],
        ..Default::default()
    };
    operator.admin().set_tenant_limits(request).await.unwrap();
}

/// One item for each of these users.
fn users(numbers: Range<u32>) -> Vec<v1::ImportItem> {
    let of_user = |number: u32| {
        let owner = v1::Owner { kind: v1::OwnerKind::User.into(), user_id: format!("u{number}") };
        v1::ImportItem { owner: Some(owner), ..item(&format!("s/{number}"), "main", "CANARY") }
    };
    numbers.map(of_user).collect()
}

/// Two connections of the tenant, one of a user.
async fn lower_quotas_count(vault: &TestVault, app: &Client) {
    let keep = v1::ImportMode::Keep;
    let full = send(app, users(1..4), keep).await.unwrap_err();
    assert_eq!(refusal(&full), FULL);
    assert_eq!(vault.count("connections").await, 0);
    let second = item("s/9", "second", "CANARY");
    let imported = send(app, [users(1..3), vec![second]].concat(), keep).await.unwrap();
    assert_eq!(outcomes(&imported), ["CREATED", "CREATED", "QUOTA_EXCEEDED"]);
    // What an import found to be left counts for creations after it, too.
    assert_eq!(refusal(&app.create(generic("more", "CANARY")).await.unwrap_err()), FULL);
}

/// 50 connections of the tenant, which has two, and 45 of a user, who has one.
async fn higher_quotas_count(app: &Client) {
    let of_one = |number: u32| item(&format!("s/{number}"), &format!("account {number}"), "CANARY");
    let imported = send(app, (100..145).map(of_one).collect(), v1::ImportMode::Keep).await.unwrap();
    let (last, others) = imported.split_last().unwrap();
    assert!(outcomes(others).iter().all(|outcome| *outcome == "CREATED"), "{imported:?}");
    assert_eq!(outcomes(std::slice::from_ref(last)), ["QUOTA_EXCEEDED"]);
    for account in ["47", "48", "49", "50"] {
        app.create(generic(account, "CANARY")).await.unwrap();
    }
    assert_eq!(refusal(&app.create(generic("51", "CANARY")).await.unwrap_err()), FULL);
}

/// Two rows have one owner, provider and account name, and each row is a batch.
async fn a_dry_run_knows_the_names_of_all_its_batches(vault: &TestVault) {
    vault.tenant("beta").await;
    let row = |(id, user): (u32, u32)| {
        let credentials = json!({
            "apiUrl": "https://example.com",
            "consumerKey": format!("ck_{id:040x}"),
            "consumerSecret": format!("cs_{id:040x}"),
            "webhookSecret": "CANARY",
        });
        json!({ "id": id, "userId": user, "integrationType": "woocommerce", "credentials": credentials })
    };
    let rows = [(1, 7), (2, 7), (3, 8)].map(|one| format!("{}\n", row(one)));
    vault.write("twice.jsonl", &rows.concat());
    let arguments = ["pixelpim", "--from", "twice.jsonl", "--tenant", "beta", "--batch", "1"];
    for (mode, expected) in [("--dry-run", [2, 0, 1]), ("--update", [2, 0, 1]), ("--dry-run", [0, 2, 1])] {
        let run = import(vault, "app", &[&arguments[..], &[mode]].concat()).await;
        assert_eq!(run.outcome(), (7, expected), "{mode} {}", run.shown);
        assert!(run.shown.contains("CONNECTION_EXISTS"), "{mode} {}", run.shown);
    }
}
