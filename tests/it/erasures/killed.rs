//! A vault that is killed in the middle of an erasure: another one finishes it.

use credvault_proto::v1;
use rustix::process::Signal;

use super::get;
use crate::harness::{Client, Process, TestVault, VaultBuilder, by_id, eventually, generic, refusal};

/// So many rows that no vault removes them before it is killed.
const MANY_ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
    INSERT INTO user_sightings SELECT 'acme', 'u' || i, 0, 0 FROM n";

async fn killed(vault: TestVault) {
    let folder = vault.folder.path();
    let connect = async |process: &Process, service: &str| {
        let leaf = vault.authority.service(&format!("spiffe://test.local/{service}"));
        Client::connect(process.address, vault.authority.pem(), Some(&leaf)).await.unwrap()
    };
    let process = Process::serve(folder, &[]).unwrap();
    let operator = connect(&process, "operator").await;
    let create = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().create_tenant(create).await.unwrap();
    let app = connect(&process, "app").await.acting_for("acme", None);
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    vault.sql(MANY_ROWS).await;
    let token = super::asked(&operator).await;
    let erasing = tokio::spawn(async move { super::erase(&operator, &token).await });
    eventually("the confirmation", || async { vault.count("erasures").await == 1 }).await;
    process.signal(Signal::KILL);
    assert!(erasing.await.unwrap().is_err());
    drop(process);
    assert!(vault.count("user_sightings").await > 0, "it was killed in the middle");

    let process = Process::serve(folder, &[]).unwrap();
    let app = connect(&process, "app").await.acting_for("acme", None);
    assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "NotFound TENANT_NOT_FOUND");
    let operator = connect(&process, "operator").await;
    eventually("the end of the erasure", || async {
        get(&operator).await.unwrap().state() == v1::ErasureState::Erased
    })
    .await;
    assert_eq!(vault.count("user_sightings").await, 0);
    assert_eq!(vault.count("tenant_keys WHERE tenant_id = 'acme'").await, 0);
    let erasure = get(&operator).await.unwrap();
    assert_eq!(erasure.content.unwrap().users, 60_000);
    assert!(erasure.statement.contains("\"tenant\":\"acme\"") && erasure.signature.len() == 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    killed(VaultBuilder::sqlite().prepare().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    killed(VaultBuilder::postgres().prepare().await).await;
}
