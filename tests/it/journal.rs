//! Every call that was answered is in its tenant's log once, however often replicas are killed, and lists show it at once.

pub mod load;
pub mod log;
mod replicas;
mod takeover;

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_proto::v1;
use rustix::process::Signal;
use tokio::sync::watch;

use crate::harness::{Client, Process, TestVault, VaultBuilder, by_id, eventually, generic};
use load::{Load, record_of};
use replicas::Replicas;

/// How many calls are in flight when one process is killed.
const IN_FLIGHT: usize = 48;
/// How many callers each of several replicas has.
const CALLERS: usize = 8;

/// How often something is killed: as often as `CREDVAULT_TEST_ROUNDS` says, or as is quick.
fn rounds(usual: u64) -> u64 {
    let given = std::env::var("CREDVAULT_TEST_ROUNDS").ok();
    given.map_or(usual, |text| text.parse().expect("CREDVAULT_TEST_ROUNDS: a number"))
}

/// Another moment of the writer's and the sequencer's work in each round.
fn moment(round: u64, most: u64) -> Duration {
    Duration::from_millis(round.wrapping_mul(2_654_435_761) % most)
}

/// The one process of a vault is killed under load and started anew.
async fn killed(vault: TestVault) {
    let folder = vault.folder.path();
    let leaf = |service: &str| vault.authority.service(&format!("spiffe://test.local/{service}"));
    let connect = async |process: &Process, service: &str| {
        Client::connect(process.address, vault.authority.pem(), Some(&leaf(service))).await.unwrap()
    };
    let (mut id, mut calls, mut kept) = (String::new(), Vec::new(), Vec::new());
    for round in 0..rounds(5) {
        let process = Process::serve(folder, &[]).unwrap();
        let app = connect(&process, "app").await.acting_for("acme", None);
        if id.is_empty() {
            let create = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
            connect(&process, "operator").await.admin().create_tenant(create).await.unwrap();
            id = app.create(generic("main", "CANARY")).await.unwrap().id;
        }
        if round % 3 == 0 {
            // The lease of the process before may last for some seconds. This one is killed while it sequences.
            let sequences = || async { replicas::sequenced(&process).await != "0" };
            eventually("it sequences", sequences).await;
            kept.push(log::checkpoint(&app).await.0);
        }
        let load = Load::start(&[watch::channel(app).1], IN_FLIGHT, &id);
        tokio::time::sleep(Duration::from_millis(200) + moment(round, 700)).await;
        process.signal(Signal::KILL);
        calls.extend(load.stop().await);
        drop(process);
    }
    let process = Process::serve(folder, &[]).unwrap();
    let app = connect(&process, "app").await.acting_for("acme", None);
    load::each_is_recorded_once(&calls, &listed(&app).await);
    load::each_is_recorded_once(&calls, &log::records(&vault, &app, &kept).await);

    // The next list shows what was just answered.
    for _ in 0..20 {
        let answer = app.vault().fetch_credential(by_id(&id)).await.unwrap();
        let record = record_of(answer.metadata());
        assert!(app.events().await.iter().any(|event| event.id == record));
    }
}

/// How often each record is in the list of the log, by its id.
async fn listed(client: &Client) -> BTreeMap<String, usize> {
    let mut request = v1::ListAuditEventsRequest { page_size: 500, ..Default::default() };
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    loop {
        let page = client.audit().list_audit_events(request.clone()).await.unwrap().into_inner();
        for event in page.events {
            *ids.entry(event.id).or_default() += 1;
        }
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

/// Every third time the one that sequences is killed; the others serve as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_of_which_one_is_killed_at_a_time() {
    let mut replicas = Replicas::start(VaultBuilder::postgres().prepare().await, 3).await;
    let load = Load::start(&replicas.clients(), CALLERS, &replicas.id);
    let mut kept = Vec::new();
    for round in 0..rounds(5) {
        let chosen = usize::try_from(moment(round, 700).as_millis() / 7 % 3).unwrap();
        let number = if round % 3 == 0 { replicas.sequencing(&[0, 1, 2]).await } else { chosen };
        let others: Vec<usize> = (0..3).filter(|other| *other != number).collect();
        tokio::time::sleep(moment(round, 400)).await;
        replicas.signal(number, Signal::KILL);
        for other in &others {
            let before = load.answered(*other);
            eventually("the others answer", || async { load.answered(*other) > before }).await;
        }
        kept.push(log::checkpoint(&replicas.client(others[0])).await.0);
        replicas.restart(number).await;
    }
    let calls = load.stop().await;
    let records = log::records(&replicas.vault, &replicas.client(0), &kept).await;
    load::each_is_recorded_once(&calls, &records);
}
