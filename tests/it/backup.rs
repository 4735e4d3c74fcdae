//! Backups: a vault comes back with everything, in a database of either kind, and nothing else is taken for a backup.

mod altered;
mod erased;
mod killed;
mod rewrapped;
mod roles;

use std::os::unix::fs::PermissionsExt as _;

use credvault_proto::v1;
use serde_json::Value;

use crate::harness::backup::{Place, postgres_place};
use crate::harness::{
    Client, Process, TestVault, VaultBuilder, by_id, eventually, generic, get, owned_by, refusal,
};
use crate::on_both;

on_both![
    a_backup_restores_into_either_kind_of_database,
    a_backup_beside_writes_is_of_one_moment,
    a_database_with_rows_is_refused_by_the_name_of_its_table,
    a_database_of_a_newer_release_is_not_backed_up,
    a_backup_is_a_private_file_and_its_age_a_metric,
];

/// A connection with the token that a fetch must give.
pub struct Kept {
    tenant: &'static str,
    user: Option<&'static str>,
    id: String,
    token: String,
}

/// Fills a vault: two tenants, connections of them, of a user and of the platform, several versions, a suspended tenant.
pub async fn filled(vault: &TestVault) -> Vec<Kept> {
    let mut kept = Vec::new();
    for tenant in ["acme", "other"] {
        let app = vault.app(tenant).await;
        for number in 0..3 {
            let token = format!("CANARY {tenant} {number}");
            let created = app.create(generic(&format!("account-{number}"), "CANARY first")).await.unwrap();
            app.put(&created.id, &token).await.unwrap();
            kept.push(Kept { tenant, user: None, id: created.id, token });
        }
        let user = vault.client("app").await.acting_for(tenant, Some("u1"));
        let token = format!("CANARY of u1 at {tenant}");
        let created = user.create(owned_by("u1", generic("own", &token))).await.unwrap();
        kept.push(Kept { tenant, user: Some("u1"), id: created.id, token });
        let disabled = app.create(generic("off", "CANARY off")).await.unwrap();
        let request = v1::UpdateConnectionRequest {
            connection: Some(v1::Connection { id: disabled.id, enabled: false, ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
            ..Default::default()
        };
        app.connections().update_connection(request).await.unwrap();
    }
    vault.tenant("gone").await;
    let suspend = v1::SuspendTenantRequest { tenant_id: "gone".into(), ..Default::default() };
    vault.client("operator").await.admin().suspend_tenant(suspend).await.unwrap();
    kept
}

/// Every kept token comes by a fetch over mutual TLS, and new ones can be stored.
pub async fn serves(vault: &TestVault, kept: &[Kept]) {
    for Kept { tenant, user, id, token } in kept {
        let app = client_for(vault, tenant, *user).await;
        assert_eq!(app.token(by_id(id)).await.unwrap(), *token, "{tenant} {id}");
        app.put(id, "CANARY later").await.unwrap();
        assert_eq!(app.token(by_id(id)).await.unwrap(), "CANARY later");
        app.put(id, token).await.unwrap();
    }
}

async fn client_for(vault: &TestVault, tenant: &str, user: Option<&str>) -> Client {
    vault.client("app").await.acting_for(tenant, user)
}

/// The number of rows of each table that a manifest names.
fn counts(result: &Value) -> Vec<(String, i64)> {
    let tables = result["manifest"]["tables"].as_array().unwrap();
    let count = |table: &Value| (table["name"].as_str().unwrap().to_owned(), table["rows"].as_i64().unwrap());
    tables.iter().map(count).collect()
}

async fn a_backup_restores_into_either_kind_of_database(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let kept = filled(&vault).await;
    let records = vault.client("app").await.acting_for("acme", None).events().await.len();
    let made = vault.back_up("vault.backup").await.done();
    let verified = vault.verify("vault.backup", &[]).await.done();
    assert_eq!(verified["manifest_sha256"], made["manifest_sha256"]);
    assert_eq!(counts(&verified), counts(&made));
    assert_eq!(verified["tenant_keys"], 4, "three tenants and the platform");
    assert_eq!(vault.platform_records("BackUp", "").await, 1);
    vault.stop().await;
    for place in [vault.sqlite_place("restored.db"), postgres_place().await] {
        let restored = vault.restore("vault.backup", &place, &[]).await.done();
        assert_eq!(restored["rows"], made["manifest"]["rows"]);
        assert_eq!(restored["rows_left_out"], 0);
        vault.start_on(&place).await;
        assert_eq!(vault.platform_records("Restore", "").await, 1);
        assert_eq!(vault.platform_records("BackUp", "").await, 0, "that is of another database");
        for (table, rows) in counts(&made) {
            // The vault writes into the others as soon as it serves.
            if ["connections", "credential_versions", "tenants", "tenant_keys"].contains(&table.as_str()) {
                assert_eq!(vault.count(&table).await, rows, "{table}");
            }
        }
        let log = vault.client("app").await.acting_for("acme", None).events().await.len();
        assert!(log >= records, "{log} of {records} records");
        serves(&vault, &kept).await;
        let suspended = vault.client("app").await.acting_for("gone", None);
        let refused = suspended.create(generic("a", "CANARY")).await.unwrap_err();
        assert_eq!(refusal(&refused), "FailedPrecondition TENANT_SUSPENDED");
        vault.stop().await;
        restored_again(&vault, &place, &made).await;
    }
}

/// What was restored can be backed up, with the same signing key.
async fn restored_again(vault: &TestVault, place: &Place, made: &Value) {
    let mut arguments = vec!["backup", "--config", "credvault.toml", "--output", "json"];
    for flag in &place.flags {
        arguments.extend(["--set", flag.as_str()]);
    }
    let name = format!("again-{}.backup", place.postgres.is_some());
    arguments.extend(["--to", &name]);
    let again = vault.run(&arguments).await.done();
    assert_eq!(again["manifest"]["public_key"], made["manifest"]["public_key"]);
    assert_eq!(again["manifest"]["migrations"], made["manifest"]["migrations"]);
}

/// Whatever is in a backup belongs together: no credential without its connection, none at a version that is not there.
async fn a_backup_beside_writes_is_of_one_moment(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let app = vault.app("acme").await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (app, stop) = (app.clone(), std::sync::Arc::clone(&stop));
        tokio::spawn(async move {
            let mut written = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let created = app.create(generic(&format!("a-{written}"), "CANARY first")).await.unwrap();
                app.put(&created.id, "CANARY second").await.unwrap();
                written += 1;
            }
            written
        })
    };
    eventually("writes", || async { vault.count("connections").await > 20 }).await;
    for number in 0..3 {
        vault.back_up(&format!("{number}.backup")).await.done();
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(writer.await.unwrap() > 20);
    vault.stop().await;
    for number in 0..3 {
        let place = vault.sqlite_place(&format!("{number}.db"));
        vault.restore(&format!("{number}.backup"), &place, &[]).await.done();
        vault.start_on(&place).await;
        let torn = "connections c WHERE current_version > 0 AND last_version <> (SELECT count(*) FROM credential_versions v
            WHERE v.tenant_id = c.tenant_id AND v.connection_id = c.id)";
        assert_eq!(vault.count(torn).await, 0);
        assert!(vault.count("connections").await > 20);
        vault.stop().await;
    }
}

async fn a_database_with_rows_is_refused_by_the_name_of_its_table(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    filled(&vault).await;
    vault.back_up("vault.backup").await.done();
    vault.stop().await;
    for place in [vault.sqlite_place("restored.db"), postgres_place().await] {
        vault.restore("vault.backup", &place, &[]).await.done();
        let refused = vault.restore("vault.backup", &place, &[]).await.refused(5);
        assert!(refused.contains("the database is not empty: its table"), "{refused}");
        // A vault that has begun to serve has rows as well.
        vault.start_on(&place).await;
        vault.stop().await;
    }
}

async fn a_database_of_a_newer_release_is_not_backed_up(builder: VaultBuilder) {
    let vault = builder.start().await;
    filled(&vault).await;
    vault.sql("INSERT INTO schema_migrations (version, applied_at) VALUES ('m9999_future', 0)").await;
    let refused = vault.back_up("vault.backup").await.refused(5);
    assert!(refused.contains("of a newer release (it has the migration m9999_future)"), "{refused}");
    assert!(!vault.folder.path().join("vault.backup").exists());
}

async fn a_backup_is_a_private_file_and_its_age_a_metric(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    vault.app("acme").await.create(generic("main", "CANARY secret")).await.unwrap();
    let made = vault.back_up("vault.backup").await.done();
    let path = vault.folder.path().join("vault.backup");
    let metadata = path.metadata().unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(made["bytes"], metadata.len());
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"CANARY" || window == b"tenant"), "it is sealed");
    let there = vault.back_up("vault.backup").await.refused(2);
    assert!(there.contains("is there already"), "{there}");
    assert_eq!(vault.count("backups WHERE kind = 'FILE'").await, 1);
    // Standard output is the backup then, and nothing else.
    let folder = vault.folder.path().to_owned();
    let arguments = ["backup", "--config", "credvault.toml", "--to", "-"];
    let run = move || Process::run(&folder, &arguments);
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(vault.folder.path().join("stream.backup"), &output.stdout).unwrap();
    vault.verify("stream.backup", &[]).await.done();
    assert_eq!(vault.count("backups WHERE kind = 'STREAM'").await, 1);
    vault.stop().await;
    let process = Process::serve(vault.folder.path(), &[]).unwrap();
    eventually("the age is shown", || async {
        let metrics = get(process.admin_address, "/metrics").await.1;
        let age = metrics.lines().find_map(|line| line.strip_prefix("credvault_backup_age_seconds "));
        age.is_some_and(|age| (0.0..600.0).contains(&age.parse::<f64>().unwrap()))
    })
    .await;
}
