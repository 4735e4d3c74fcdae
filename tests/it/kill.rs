//! A server killed in the middle of a thousand writes has lost none that it acknowledged, and starts again by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use credvault_proto::v1;
use rustix::process::Signal;
use tokio::sync::Semaphore;

use crate::harness::{Client, Process, TestVault, VaultBuilder, by_id, generic};

const WRITES: usize = 1000;
const KILL_AFTER: usize = 300;

async fn killed(vault: TestVault) {
    let folder = vault.folder.path();
    let leaf = |service: &str| vault.authority.service(&format!("spiffe://test.local/{service}"));
    let connect = async |process: &Process, service: &str| {
        Client::connect(process.address, vault.authority.pem(), Some(&leaf(service))).await.unwrap()
    };
    let process = Arc::new(Process::serve(folder, &[]).unwrap());
    let create = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    connect(&process, "operator").await.admin().create_tenant(create).await.unwrap();
    // A name without an address: deliveries stay in the table and can be counted.
    let events = v1::PutEventEndpointRequest {
        tenant_id: "acme".into(),
        url: "https://events.invalid/".into(),
        types: vec!["credential.changed".into()],
        ..Default::default()
    };
    connect(&process, "operator").await.admin().put_event_endpoint(events).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(connect(&process, "app").await.acting_for("acme", None));
    }
    let kept = write_until_killed(process, &clients).await;

    let process = Process::serve(folder, &[]).unwrap();
    let client = connect(&process, "app").await.acting_for("acme", None);
    for (id, secret) in &kept {
        assert_eq!(&client.token(by_id(id)).await.unwrap(), secret);
    }
    each_write_is_whole(&vault, &client, kept.len()).await;
}

/// A write that was not acknowledged is there with its credential, record, feed row and event, or not at all.
async fn each_write_is_whole(vault: &TestVault, client: &Client, acknowledged: usize) {
    let mut list = v1::ListConnectionsRequest { page_size: 500, ..Default::default() };
    let mut all = Vec::new();
    loop {
        let page = client.connections().list_connections(list.clone()).await.unwrap().into_inner();
        all.extend(page.connections);
        if page.next_page_token.is_empty() {
            break;
        }
        list.page_token = page.next_page_token;
    }
    assert!(all.len() >= acknowledged);
    for connection in &all {
        assert_eq!(
            client.token(by_id(&connection.id)).await.unwrap(),
            connection.account_name.replace('a', "CANARY ")
        );
    }
    let count = i64::try_from(all.len()).unwrap();
    assert_eq!(vault.count("connections").await, count);
    assert_eq!(vault.count("credential_versions").await, count);
    assert_eq!(vault.count("changes WHERE kind = 'CREATED' AND connection_id IS NOT NULL").await, count);
    assert_eq!(vault.count("event_deliveries").await, count);
    let filter = v1::AuditFilter {
        action: "CreateConnection".into(),
        outcome: v1::AuditOutcome::Ok.into(),
        ..Default::default()
    };
    let group_by = vec![v1::AuditGroup::Outcome.into()];
    let summary = v1::SummarizeAuditEventsRequest { filter: Some(filter), group_by };
    let counted = client.audit().summarize_audit_events(summary).await.unwrap().into_inner().summaries;
    assert_eq!(counted.iter().map(|row| row.count).sum::<i64>(), count);
}

/// Writes with 100 calls at a time and kills the server in the middle. Returns the acknowledged ids and secrets.
async fn write_until_killed(process: Arc<Process>, clients: &[Client]) -> BTreeMap<String, String> {
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let all_at_once = Arc::new(Semaphore::new(100));
    let mut tasks = Vec::new();
    for i in 0..WRITES {
        let client = clients[i % clients.len()].clone();
        let process = Arc::clone(&process);
        let acknowledged = Arc::clone(&acknowledged);
        let turn = Arc::clone(&all_at_once);
        tasks.push(tokio::spawn(async move {
            let _turn = turn.acquire().await.unwrap();
            let secret = format!("CANARY {i}");
            let created = client.create(generic(&format!("a{i}"), &secret)).await.ok()?;
            if acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == KILL_AFTER {
                process.signal(Signal::KILL);
            }
            Some((created.id, secret))
        }));
    }
    let mut kept = BTreeMap::new();
    for task in tasks {
        kept.extend(task.await.unwrap());
    }
    assert!((KILL_AFTER..WRITES).contains(&kept.len()), "{} were acknowledged", kept.len());
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    killed(VaultBuilder::sqlite().prepare().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    killed(VaultBuilder::postgres().prepare().await).await;
}
