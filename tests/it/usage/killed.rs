//! A process that is killed in the middle of reports and fetches: every report that is sent again counts once, and of
//! fetches only those of the last seconds are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use rustix::process::Signal;

use super::{item, report, send, total};
use crate::harness::{Client, Process, TestVault, VaultBuilder, by_id, eventually, generic};

const REPORTS: u32 = 200;
const KILL_AFTER: usize = 60;
/// The vault promises 3 s. A busy machine may take longer for the question itself.
const WRITTEN_WITHIN: Duration = Duration::from_secs(15);

/// A busy machine must not be taken for a database that is away.
const PATIENT: [&str; 4] = [
    "store.acquire_timeout_ms=60000",
    "store.statement_timeout_ms=60000",
    "store.lock_timeout_ms=60000",
    "limits.default_deadline_seconds=60",
];

async fn connect(vault: &TestVault, process: &Process) -> Client {
    let leaf = vault.authority.service("spiffe://test.local/app");
    let client = Client::connect(process.address, vault.authority.pem(), Some(&leaf)).await.unwrap();
    client.acting_for("acme", None)
}

async fn killed(mut vault: TestVault) {
    vault.start().await;
    let id = vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap().id;
    vault.stop().await;
    let folder = vault.folder.path();
    let process = Arc::new(Process::serve(folder, &PATIENT).unwrap());
    let doomed = connect(&vault, &process).await;
    for _ in 0..5 {
        doomed.token(by_id(&id)).await.unwrap();
    }
    let written = eventually("the first fetches are written", || async { total(&doomed).await.fetches == 5 });
    tokio::time::timeout(WRITTEN_WITHIN, written)
        .await
        .expect("the vault says that it writes after 3 s at the latest");
    for _ in 0..3 {
        doomed.token(by_id(&id)).await.unwrap();
    }
    let acknowledged = report_until_killed(&process, &doomed, &id).await;

    let process = Process::serve(folder, &PATIENT).unwrap();
    let client = connect(&vault, &process).await;
    let sum = total(&client).await;
    assert!(sum.calls >= acknowledged, "{} of {acknowledged}", sum.calls);
    assert!((5..=8).contains(&sum.fetches), "what was not written yet may be lost: {}", sum.fetches);
    let again = futures::stream::iter(0..REPORTS).map(|number| {
        let report = report(u128::from(number) + 1, vec![item(&id, "orders", 1)]);
        async { i64::from(send(&client, report).await.unwrap().counted_before) }
    });
    let before: i64 = again.buffer_unordered(40).collect::<Vec<_>>().await.iter().sum();
    let sum_after = total(&client).await;
    // A commit that the killed process had sent may have taken effect after the sum was read.
    assert!((sum.calls..=i64::from(REPORTS)).contains(&before), "{before} of {}", sum.calls);
    assert_eq!((sum_after.calls, sum_after.errors), (i64::from(REPORTS), i64::from(REPORTS)));
}

/// Reports many at a time, and kills the process in the middle. Returns how many were acknowledged.
async fn report_until_killed(process: &Arc<Process>, client: &Client, id: &str) -> i64 {
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let turns = Arc::new(tokio::sync::Semaphore::new(40));
    let mut reports = tokio::task::JoinSet::new();
    for number in 0..REPORTS {
        let (client, process, turns) = (client.clone(), Arc::clone(process), Arc::clone(&turns));
        let (acknowledged, items) = (Arc::clone(&acknowledged), vec![item(id, "orders", 1)]);
        reports.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            if send(&client, report(u128::from(number) + 1, items)).await.is_ok()
                && acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == KILL_AFTER
            {
                process.signal(Signal::KILL);
            }
        });
    }
    reports.join_all().await;
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    assert!((KILL_AFTER..REPORTS as usize).contains(&acknowledged), "{acknowledged}");
    i64::try_from(acknowledged).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    killed(VaultBuilder::sqlite().prepare().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    killed(VaultBuilder::postgres().prepare().await).await;
}
