//! A backup or a restore that is killed in the middle leaves nothing that looks whole, and nothing half done.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::backup::{Place, postgres_place};
use crate::harness::{Process, TestVault, VaultBuilder, generic};
use crate::on_both;

use super::{filled, serves};

on_both![a_restore_that_is_killed_leaves_an_empty_database];

/// Fills a vault so that its backup has many frames.
async fn with_much(vault: &TestVault, connections: usize) {
    let app = vault.app("acme").await;
    for number in 0..connections {
        let large = format!("CANARY{}", "x".repeat(60_000));
        app.create(generic(&format!("large-{number}"), &large)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_killed_leaves_no_file_that_looks_whole() {
    let vault = VaultBuilder::postgres().start().await;
    filled(&vault).await;
    with_much(&vault, 400).await;
    let folder = vault.folder.path().to_owned();
    let mut command = Process::command();
    command.current_dir(&folder).args(["backup", "--config", "credvault.toml", "--to", "vault.backup"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // One of 24 MiB: so most of it is still to come.
    let unfinished = loop {
        assert!(child.try_wait().unwrap().is_none(), "the backup has ended by itself");
        let mut files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let begun = files.find(|path| path.extension().is_some_and(|extension| extension == "unfinished"));
        if let Some(begun) = begun.filter(|path| path.metadata().is_ok_and(|data| data.len() > 1024 * 1024)) {
            break begun;
        }
        tokio::task::yield_now().await;
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.join("vault.backup").exists());
    std::fs::rename(&unfinished, folder.join("half.backup")).unwrap();
    let error = vault.verify("half.backup", &[]).await.refused(5);
    assert!(error.contains("it was cut off"), "{error}");
    assert_eq!(vault.count("backups").await, 0);
    vault.back_up("vault.backup").await.done();
}

/// It waits for a program that writes no more, and a signal ends it nevertheless.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verification_is_interrupted_while_it_reads() {
    let vault = VaultBuilder::sqlite().start().await;
    filled(&vault).await;
    with_much(&vault, 40).await;
    vault.back_up("vault.backup").await.done();
    let bytes = std::fs::read(vault.folder.path().join("vault.backup")).unwrap();
    let mut command = Process::command();
    command.current_dir(vault.folder.path());
    command.args(["backup", "verify", "-", "--config", "credvault.toml"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // As for a restore: it has read most of this, so it has begun.
    let input = tokio::task::spawn_blocking(move || {
        input.write_all(&bytes[..bytes.len() / 2]).unwrap();
        input
    });
    let input = input.await.unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(
        ended.status.code() == Some(1) && error.contains("stopped; the backup was not verified"),
        "{error}"
    );
    drop(input);
}

async fn a_restore_that_is_killed_leaves_an_empty_database(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let kept = filled(&vault).await;
    with_much(&vault, 40).await;
    vault.back_up("vault.backup").await.done();
    vault.stop().await;
    let bytes = std::fs::read(vault.folder.path().join("vault.backup")).unwrap();
    for place in [vault.sqlite_place("restored.db"), postgres_place().await] {
        let (half, _) = bytes.split_at(bytes.len() / 2);
        killed(&vault, &place, half.to_vec()).await;
        vault.restore("vault.backup", &place, &[]).await.done();
        vault.start_on(&place).await;
        serves(&vault, &kept).await;
        vault.stop().await;
    }
}

/// Kills a restore that has read so much, and waits for more.
async fn killed(vault: &TestVault, place: &Place, bytes: Vec<u8>) {
    let mut command = Process::command();
    command.current_dir(vault.folder.path());
    command.args(["restore", "--from", "-", "--no-later-erasures", "--config", "credvault.toml"]);
    for flag in &place.flags {
        command.args(["--set", flag]);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // A pipe holds 64 KiB: once all of it is written, the restore has read far more than the first frame.
    let input = tokio::task::spawn_blocking(move || {
        input.write_all(&bytes).unwrap();
        input
    });
    let input = input.await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
}
