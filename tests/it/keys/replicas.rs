//! Rotation on three replicas of one PostgreSQL, under fetches and writes. The one that works on the rotation is killed: no
//! read fails, the count under the old key ends at zero, and another goes on where it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use credvault_proto::v1;
use rustix::process::Signal;
use tokio::task::JoinHandle;

use super::{all_open, ended, filled, left, status, with_other};
use crate::harness::{Client, Process, TestVault, VaultBuilder, by_id, eventually, generic};

/// The condition that the process is at a rotation which was at it first, when it was alone.
const AT_WORK: &str = "running AND process_id = (SELECT process_id FROM public.first_process)";

/// So slow that the first process has many turns at the rotation, which the replicas take as it comes.
const SLOWLY: i32 = 50;

/// A connection that is read and written: its client, its id and its secret.
type Kept = (Client, String, String);

/// Callers that read and write without a pause.
struct Load {
    ends: Arc<AtomicBool>,
    failed: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<usize>>,
}

impl Load {
    /// One task writes, the others read; each goes through what its client reaches.
    fn start(kept: Vec<Vec<Kept>>) -> Self {
        let (ends, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let task = |(offset, kept): (usize, Vec<Kept>)| {
            let (ends, failed) = (Arc::clone(&ends), Arc::clone(&failed));
            tokio::spawn(async move {
                let mut number = offset * 7;
                while !ends.load(Ordering::Relaxed) {
                    let (app, id, secret) = &kept[number % kept.len()];
                    if offset > 0 && app.token(by_id(id)).await.ok().as_ref() != Some(secret) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    if offset == 0 {
                        app.put(id, secret).await.unwrap();
                    }
                    number += 1;
                }
                number - offset * 7
            })
        };
        let tasks = kept.into_iter().enumerate().map(task).collect();
        Self { ends, failed, tasks }
    }

    /// Ends the load: each caller has called, and no read has failed.
    async fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        for task in self.tasks {
            assert!(task.await.unwrap() > 0, "a caller was not served");
        }
        assert_eq!(self.failed.load(Ordering::Relaxed), 0, "reads failed");
    }
}

/// A replica in a process of its own, and an operator's client of it.
async fn process(vault: &TestVault, settings: &[&str]) -> (Process, Client) {
    let process = Process::serve(vault.folder.path(), settings).unwrap();
    let leaf = vault.authority.service("spiffe://test.local/operator");
    let operator = Client::connect(process.address, vault.authority.pem(), Some(&leaf)).await.unwrap();
    (process, operator)
}

/// Remembers which process is at the rotation.
async fn remember_the_first(vault: &TestVault) {
    eventually("it is at work", || async {
        vault.count("rotations WHERE running AND process_id IS NOT NULL").await == 1
    })
    .await;
    let first = "CREATE TABLE public.first_process AS SELECT process_id FROM rotations WHERE running";
    vault.sql(first).await;
}

/// Waits until the first process is in the middle of the rotation, and kills it. Gives how far it was.
async fn kill_in_the_middle(vault: &TestVault, process: &Process, done: i64) {
    eventually("it is in the middle", || async {
        vault.count(&format!("rotations WHERE {AT_WORK} AND done > {done}")).await == 1
    })
    .await;
    process.signal(Signal::KILL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replica_costs_no_read_and_another_goes_on() {
    let mut vault = VaultBuilder::postgres().start().await;
    let app = vault.app("acme").await;
    let kept = filled(&app, 60).await;
    more_connections(&app).await;
    // Alone at first, so that it is the one at work.
    vault.stop().await;
    let (process, begun_at) = process(&vault, &[]).await;
    let request = v1::RotateTenantKeyRequest {
        tenant_id: "acme".into(),
        records_per_second: SLOWLY,
        ..Default::default()
    };
    let stream = begun_at.admin().rotate_tenant_key(request).await.unwrap().into_inner();
    remember_the_first(&vault).await;
    vault.start().await;
    let second = vault.instance.take().unwrap();
    let reading = app_at(second.address, &vault).await.acting_for("acme", None);
    vault.start().await;
    let operator = vault.client("operator").await;
    let app = vault.client("app").await.acting_for("acme", None);
    let of = |app: &Client| -> Vec<Kept> {
        kept.iter().map(|(id, secret)| (app.clone(), id.clone(), secret.clone())).collect()
    };
    let load = Load::start(vec![of(&app), of(&app), of(&reading), of(&reading)]);
    kill_in_the_middle(&vault, &process, 300).await;
    drop(stream);
    let at_the_kill = status(&operator, "acme").await.rotation.filter(|rotation| rotation.running).unwrap();
    faster(&vault, 100_000).await;
    ended(&operator, "acme").await;
    load.end().await;
    let done = status(&operator, "acme").await.rotation.unwrap();
    // It went on from there: each record is counted once.
    assert!(at_the_kill.done > 300 && at_the_kill.done < at_the_kill.total, "{at_the_kill:?}");
    assert!(done.done > at_the_kill.done && done.done <= done.total, "{at_the_kill:?}, then {done:?}");
    assert_eq!((left(&operator, "acme").await, done.failed), (0, 0));
    all_open(&app, &kept).await;
    second.stop().await;
}

/// So many that the rotation takes a while.
async fn more_connections(app: &Client) {
    let mut tasks = Vec::new();
    for batch in 0..8 {
        let app = app.clone();
        tasks.push(tokio::spawn(async move {
            for number in 0..400 {
                app.create(generic(&format!("more-{batch}-{number}"), "CANARY more")).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// A client of the app at another replica.
async fn app_at(address: std::net::SocketAddr, vault: &TestVault) -> Client {
    let leaf = vault.authority.service("spiffe://test.local/app");
    Client::connect(address, vault.authority.pem(), Some(&leaf)).await.unwrap()
}

/// Lets the rotation's next batches come faster.
async fn faster(vault: &TestVault, rate: u32) {
    vault.sql(&format!("UPDATE rotations SET records_per_second = {rate} WHERE running")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_key_moves_although_a_replica_is_killed() {
    let mut vault = VaultBuilder::postgres().settings(with_other).start().await;
    let operator = vault.client("operator").await;
    let mut kept = Vec::new();
    for number in 0..150 {
        let tenant_id = format!("t{number:03}");
        let create = v1::CreateTenantRequest { tenant_id: tenant_id.clone(), ..Default::default() };
        operator.admin().create_tenant(create).await.unwrap();
        if number % 10 == 0 {
            let app = vault.client("app").await.acting_for(&tenant_id, None);
            let secret = format!("CANARY {number}");
            kept.push((tenant_id, app.create(generic("main", &secret)).await.unwrap().id, secret));
        }
    }
    let before = status(&operator, "").await.root_keys;
    vault.stop().await;
    let other = format!("other_root_key.file={}", vault.folder.path().join("other.key").display());
    let (process, begun_at) = process(&vault, &[&other]).await;
    let request = v1::RotateRootKeyRequest { records_per_second: 2, ..Default::default() };
    let stream = begun_at.admin().rotate_root_key(request).await.unwrap().into_inner();
    remember_the_first(&vault).await;
    vault.start().await;
    let second = vault.instance.take().unwrap();
    let reading = app_at(second.address, &vault).await;
    vault.start().await;
    let (app, operator) = (vault.client("app").await, vault.client("operator").await);
    let of = |app: &Client| -> Vec<Kept> {
        let each = kept
            .iter()
            .map(|(tenant, id, secret)| (app.acting_for(tenant, None), id.clone(), secret.clone()));
        each.collect()
    };
    let load = Load::start(vec![of(&app), of(&app), of(&reading), of(&reading)]);
    kill_in_the_middle(&vault, &process, 10).await;
    drop(stream);
    let at_the_kill = status(&operator, "").await.root_rotation.filter(|rotation| rotation.running).unwrap();
    faster(&vault, 100_000).await;
    eventually("the rotation ends", || async {
        status(&operator, "").await.root_rotation.is_some_and(|rotation| !rotation.running)
    })
    .await;
    load.end().await;
    let after = status(&operator, "").await;
    let done = after.root_rotation.unwrap();
    assert!(at_the_kill.done > 10 && at_the_kill.done < at_the_kill.total, "{at_the_kill:?}");
    assert_eq!(
        (done.done, done.failed),
        (done.total, 0),
        "each tenant was gone through once: {at_the_kill:?}"
    );
    let wraps: Vec<_> =
        after.root_keys.iter().map(|root| (root.id.clone(), root.state(), root.wrapped_keys)).collect();
    use v1::RootKeyState::{Active, Retired};
    let (old, new) = (before[0].id.clone(), before[1].id.clone());
    assert_eq!(wraps, [(new, Active, Some(151)), (old, Retired, Some(0))], "150 tenants and the platform");
    for (app, id, secret) in of(&app).iter().chain(&of(&reading)) {
        assert_eq!(&app.token(by_id(id)).await.unwrap(), secret);
    }
    second.stop().await;
}
