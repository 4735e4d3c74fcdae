//! The journal of the audit log cannot be written for a while: its table is locked, the database takes no writes, the disk is
//! full, a connection is stuck. No call is answered without its record, each refusal comes within two seconds, a change leaves
//! nothing, and all is as before without a restart.

mod disk;
mod outage;

use credvault_testkit::Postgres;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{TestVault, VaultBuilder, eventually};
use disk::SmallDisk;
use outage::Outage;

/// The session that waits until it may write to the journal.
const WAITING: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
    AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO \"audit_journal\"%' LIMIT 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_locked() {
    let mut outage = Outage::of(VaultBuilder::postgres().start().await).await;
    let lock = outage.vault.blocking("LOCK TABLE audit_journal IN ACCESS EXCLUSIVE MODE").await;
    outage.refuses_calls().await;
    outage.refuses_changes().await;
    lock.rollback().await.unwrap();
    outage.ends_by_itself().await;
    outage.end_in_the_log().await;
}

/// A vault on a server of its own, whose settings are changed.
async fn on_own_server() -> (Postgres, TestVault) {
    let started = || {
        let server = Postgres::start(&["fsync=off"]);
        let database = server.database();
        (server, database)
    };
    let (server, database) = tokio::task::spawn_blocking(started).await.unwrap();
    (server, VaultBuilder::on(database).prepare().await)
}

/// As a provider of databases does when a disk is nearly full: sessions stay, and their transactions may write no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_read_only() {
    let (_server, mut vault) = on_own_server().await;
    vault.start().await;
    let database = vault.database.clone().unwrap();
    let mut outage = Outage::of(vault).await;
    database.psql("ALTER SYSTEM SET default_transaction_read_only = on");
    database.psql("SELECT pg_reload_conf()");
    outage.refuses_calls().await;
    outage.refuses_changes().await;
    database
        .psql("SET default_transaction_read_only = off;\nALTER SYSTEM RESET default_transaction_read_only");
    database.psql("SELECT pg_reload_conf()");
    outage.ends_by_itself().await;
    outage.end_in_the_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_journal_of_postgres() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (_server, mut vault) = on_own_server().await;
    let folder = disk.folder_of_postgres();
    let database = vault.database.clone().unwrap();
    database.psql(&format!("CREATE TABLESPACE small LOCATION '{}'", folder.display()));
    database.psql("ALTER TABLE credvault.audit_journal SET TABLESPACE small");
    vault.start().await;
    let mut outage = Outage::of(vault).await;
    // Otherwise rows that are sequenced make room for others.
    let lock = outage.vault.blocking("LOCK TABLE audit_sequencer IN EXCLUSIVE MODE").await;
    disk.fill();
    outage.refuses_calls().await;
    outage.refuses_changes().await;
    disk.empty();
    lock.rollback().await.unwrap();
    outage.ends_by_itself().await;
    outage.end_in_the_log().await;
}

/// The server's process stands still in the middle of the write: the connection lives, and no time-out of the server ends the
/// statement. Calls are recorded over another connection before it wakes up, and what it then writes doubles nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_stuck_in_the_write() {
    let outage = Outage::of(VaultBuilder::postgres().start().await).await;
    let database = outage.vault.database.clone().unwrap();
    let lock = outage.vault.blocking("LOCK TABLE audit_journal IN ACCESS EXCLUSIVE MODE").await;
    let found = || async { database.psql(WAITING).parse().ok().and_then(Pid::from_raw) };
    eventually("a write waits", || async { found().await.is_some() }).await;
    let session = found().await.expect("it waits for two seconds");
    kill_process(session, Signal::STOP).unwrap();
    lock.rollback().await.unwrap();
    outage.refuses_calls().await;
    outage.ends_by_itself().await;
    kill_process(session, Signal::CONT).unwrap();
    outage.end_in_the_log().await;
}
