//! Every call that was answered is in its tenant's log once, however often the vault is killed, and lists show it at once.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_proto::v1;
use rustix::process::Signal;

use crate::harness::{Client, Process, TestVault, VaultBuilder, by_id, generic};

/// How often the vault is killed.
const ROUNDS: u64 = 8;
/// How many calls are in flight when it is.
const IN_FLIGHT: usize = 48;

async fn killed(vault: TestVault) {
    let folder = vault.folder.path();
    let leaf = |service: &str| vault.authority.service(&format!("spiffe://test.local/{service}"));
    let connect = async |process: &Process, service: &str| {
        Client::connect(process.address, vault.authority.pem(), Some(&leaf(service))).await.unwrap()
    };
    let (mut id, mut answered) = (String::new(), Vec::new());
    for round in 0..ROUNDS {
        let process = Process::serve(folder, &[]).unwrap();
        if id.is_empty() {
            let create = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
            connect(&process, "operator").await.admin().create_tenant(create).await.unwrap();
            let app = connect(&process, "app").await.acting_for("acme", None);
            id = app.create(generic("main", "CANARY")).await.unwrap().id;
        }
        let mut calls = Vec::new();
        for _ in 0..IN_FLIGHT {
            let client = connect(&process, "app").await.acting_for("acme", None);
            calls.push(tokio::spawn(fetch_until_killed(client, id.clone())));
        }
        // At another moment of the writer's and the sequencer's work each time.
        tokio::time::sleep(Duration::from_millis(200 + round * 97)).await;
        process.signal(Signal::KILL);
        for call in calls {
            answered.extend(call.await.unwrap());
        }
        drop(process);
    }
    let process = Process::serve(folder, &[]).unwrap();
    let app = connect(&process, "app").await.acting_for("acme", None);
    let recorded = recorded(&app).await;
    assert!(answered.len() > 100, "{} calls were answered", answered.len());
    for trace in &answered {
        assert_eq!(recorded.get(trace), Some(&1), "{trace}");
    }
    assert!(recorded.values().all(|times| *times == 1), "a record is in the log twice");

    // The next list shows what was just answered.
    for _ in 0..20 {
        let [trace] =
            <[String; 1]>::try_from(fetch(&app, &id).await.into_iter().collect::<Vec<_>>()).unwrap();
        let newest = app.events().await;
        assert!(newest.iter().any(|event| event.trace_id == trace));
    }
}

/// The trace of a fetch that was answered.
async fn fetch(client: &Client, id: &str) -> Option<String> {
    let answer = client.vault().fetch_credential(by_id(id)).await.ok()?;
    Some(answer.metadata().get("x-trace-id").unwrap().to_str().unwrap().to_owned())
}

async fn fetch_until_killed(client: Client, id: String) -> Vec<String> {
    let mut answered = Vec::new();
    while let Some(trace) = fetch(&client, &id).await {
        answered.push(trace);
    }
    answered
}

/// How often each trace is in the log.
async fn recorded(client: &Client) -> BTreeMap<String, usize> {
    let filter = v1::AuditFilter { action: "FetchCredential".into(), ..Default::default() };
    let mut request =
        v1::ListAuditEventsRequest { filter: Some(filter), page_size: 500, ..Default::default() };
    let mut traces = BTreeMap::new();
    loop {
        let page = client.audit().list_audit_events(request.clone()).await.unwrap().into_inner();
        for event in page.events {
            *traces.entry(event.trace_id).or_default() += 1;
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return traces;
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
