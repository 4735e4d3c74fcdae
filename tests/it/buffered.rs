//! RPCs whose answers do not wait for their audit records: what a vault that is killed loses at most, and what it says of that.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use credvault_proto::v1;
use rustix::process::Signal;

use crate::harness::{Client, Process, TestVault, VaultBuilder};

/// The bound that the vault is given.
const LOSS: Duration = Duration::from_millis(500);
const SETTINGS: [&str; 2] = ["audit.buffered[0]=ListConnections", "audit.buffered_loss_ms=500"];
const IN_FLIGHT: usize = 8;

async fn killed(vault: TestVault) {
    let folder = vault.folder.path();
    let leaf = |service: &str| vault.authority.service(&format!("spiffe://test.local/{service}"));
    let connect = async |process: &Process, service: &str| {
        Client::connect(process.address, vault.authority.pem(), Some(&leaf(service))).await.unwrap()
    };
    let process = Process::serve(folder, &SETTINGS).unwrap();
    let create = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    connect(&process, "operator").await.admin().create_tenant(create).await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..IN_FLIGHT {
        let client = connect(&process, "app").await.acting_for("acme", None);
        calls.push(tokio::spawn(list_until_killed(client)));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let end = Instant::now();
    process.signal(Signal::KILL);
    let mut answered = Vec::new();
    for call in calls {
        answered.extend(call.await.unwrap());
    }
    let (_, log) = process.wait();
    assert!(log.contains("do not wait for their audit records") && log.contains("ListConnections"), "{log}");

    let process = Process::serve(folder, &[]).unwrap();
    let app = connect(&process, "app").await.acting_for("acme", None);
    let recorded = recorded(&app).await;
    let old: Vec<_> = answered.iter().filter(|(time, _)| end.duration_since(*time) > LOSS).collect();
    assert!(old.len() > IN_FLIGHT, "{} of {} calls are old enough", old.len(), answered.len());
    for (time, id) in old {
        let before = end.duration_since(*time);
        assert!(recorded.contains(id), "the record of a call {before:?} before the end is lost");
    }
}

/// When each call was answered, and the id of its record.
async fn list_until_killed(client: Client) -> Vec<(Instant, String)> {
    let mut answered = Vec::new();
    let request = v1::ListConnectionsRequest::default;
    while let Ok(answer) = client.connections().list_connections(request()).await {
        let id = answer.metadata().get("credvault-audit-event-id").unwrap().to_str().unwrap().to_owned();
        answered.push((Instant::now(), id));
    }
    answered
}

async fn recorded(client: &Client) -> BTreeSet<String> {
    let filter = v1::AuditFilter { action: "ListConnections".into(), ..Default::default() };
    let mut request =
        v1::ListAuditEventsRequest { filter: Some(filter), page_size: 500, ..Default::default() };
    let mut ids = BTreeSet::new();
    loop {
        let page = client.audit().list_audit_events(request.clone()).await.unwrap().into_inner();
        ids.extend(page.events.into_iter().map(|event| event.id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return ids;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    killed(VaultBuilder::sqlite().prepare().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    killed(VaultBuilder::postgres().prepare().await).await;
}

/// A setting that names what changes something is refused before anything is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_something_is_refused_by_its_place_in_the_list() {
    let vault = VaultBuilder::sqlite().prepare().await;
    let settings = ["audit.buffered[0]=ListConnections", "audit.buffered[1]=PutCredential"];
    let Err(log) = Process::serve(vault.folder.path(), &settings) else { panic!("it serves") };
    assert!(log.contains("audit.buffered[1]") && log.contains("changes nothing"), "{log}");
    assert!(!log.contains("audit.buffered[0]"), "{log}");
}
