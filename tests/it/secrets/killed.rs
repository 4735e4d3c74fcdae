//! A move of secrets whose vault is killed in the midst of it: another replica serves without a failure, the move continues
//! where it was, and nothing is left where the secrets were.

use std::process::{Child, Stdio};

use credvault_proto::v1;
use rustix::process::Signal;

use crate::harness::stores::Peer;
use crate::harness::{Process, TestVault, VaultBuilder, eventually};
use crate::on_each_store;

use super::{
    Reading, all_served, assert_in_step, assert_left_after_hours, clients, filled, places, versions_in,
};

const CONNECTIONS: usize = 36;
/// How many connections a batch of the move has, and how many it does in a second, until the vault is killed.
const BATCH: i64 = 4;

on_each_store![a_move_continues_after_a_kill_and_costs_no_read];

/// The options that have a command reach a vault as the operator.
fn reaching(process: &Process) -> [String; 4] {
    let address = format!("https://localhost:{}", process.address.port());
    ["--profile".to_owned(), "operator.toml".to_owned(), "--address".to_owned(), address]
}

/// `credvault secrets move`, begun.
fn begin(vault: &TestVault, process: &Process) -> Child {
    vault.write_leaf("operator", &vault.authority.service("spiffe://test.local/operator"));
    let profile = "address = 'https://localhost:1'\nauthority = 'ca.pem'\ncertificate = 'operator.pem'\n\
                   key = 'operator.key'\n";
    vault.write("operator.toml", profile);
    let mut command = Process::command();
    command.current_dir(vault.folder.path()).args(["secrets", "move", "acme", "--to", "eu"]);
    command.arg(format!("--per-second={BATCH}")).args(reaching(process));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// `credvault secrets move --watch`, to its end. Gives what it prints.
async fn watch(vault: &TestVault, process: &Process) -> String {
    let (folder, options) = (vault.folder.path().to_owned(), reaching(process));
    let output = tokio::task::spawn_blocking(move || {
        let options = options.each_ref().map(String::as_str);
        Process::run(&folder, &[&["secrets", "move", "acme", "--watch"][..], &options].concat())
    });
    let output = output.await.unwrap();
    let printed = String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{printed}");
    printed
}

/// The leases of the killed process are over; the rest is moved faster.
async fn take_from_the_killed(vault: &TestVault) {
    for sql in [
        "UPDATE payload_work SET lease_time = 0 WHERE lease_time IS NOT NULL",
        "UPDATE rotations SET lease_time = 0, records_per_second = 100000 WHERE running",
    ] {
        vault.sql(sql).await;
    }
}

async fn a_move_continues_after_a_kill_and_costs_no_read(peer: Peer) {
    let mut vault = VaultBuilder::postgres().secret_store(&peer, &peer.address(), "").start().await;
    let kept = filled(&vault.app("acme").await, CONNECTIONS).await;
    // Alone at first, so that it is the one at work.
    vault.stop().await;
    let doomed = Process::serve(vault.folder.path(), &[]).unwrap();
    let mut moving = begin(&vault, &doomed);
    eventually("the first are moved", || async {
        vault.count("rotations WHERE running AND done > 0").await > 0
    })
    .await;
    vault.start().await;
    let (app, operator) = clients(&vault).await;
    let reading = Reading::start(&app, &kept);
    doomed.signal(Signal::KILL);
    let ended = tokio::task::spawn_blocking(move || moving.wait().unwrap()).await.unwrap();
    assert!(!ended.success(), "the command does not say that all is done");
    let at_the_kill = places(&operator).await.latest_move.unwrap();
    let total = i64::try_from(CONNECTIONS).unwrap();
    assert!(at_the_kill.running && (1..total).contains(&at_the_kill.done), "{at_the_kill:?}");
    drop(doomed);

    let again = Process::serve(vault.folder.path(), &[]).unwrap();
    take_from_the_killed(&vault).await;
    let printed = watch(&vault, &again).await;
    assert!(printed.contains(&format!("done, {total} of {total},")), "{printed}");
    reading.end().await;
    let done = places(&operator).await.latest_move.unwrap();
    let v1::RotationProgress { target, begin_time, .. } = at_the_kill;
    assert_eq!((done.target, done.begin_time), (target, begin_time), "it is the same move");
    assert_eq!((done.running, done.done, done.total, done.failed), (false, total, total, 0));
    let versions = (versions_in(&operator, "eu").await, versions_in(&operator, "database").await);
    assert_eq!(versions, (total, 0));
    assert_eq!(vault.count("credential_versions WHERE payload IS NULL").await, 0);
    drop(again);
    assert_in_step(&operator).await;
    // What was put when it was killed is removed like anything that no record refers to.
    assert_left_after_hours(&vault, &peer, CONNECTIONS).await;
    assert_in_step(&operator).await;
    all_served(&app, &kept).await;
}
