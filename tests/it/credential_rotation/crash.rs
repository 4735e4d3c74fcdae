//! A replica that is killed at each step of a rotation. The process that takes over serves a key that works, and knows whether
//! one may be left at the provider. The database is PostgreSQL, where replicas outlive each other.

use credvault_proto::v1;
use rustix::process::Signal;

use super::{FIRST, OVERLAP, ended, first_key, minter, rotate, served, settled, standing};
use crate::harness::provider::Connected;
use crate::harness::{Client, Process, VaultBuilder, eventually};
use crate::health::{get, lasting};

/// The processes that wait until they may write to a table of this database.
const WAITING: &str = "pg_locks JOIN pg_database AS d ON d.oid = database
    WHERE NOT granted AND datname = current_database() AND relation =";

/// When a replica is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    /// The provider has made a key, and holds its answer back.
    Answering,
    /// It has the answer, and cannot keep it yet.
    Keeping,
    /// The new key is kept and tested, and cannot be stored as a version yet.
    Storing,
    /// The new version is stored.
    Stored,
}

impl Moment {
    /// The lock that stops a rotation there.
    fn lock(self) -> Option<&'static str> {
        match self {
            Self::Answering | Self::Stored => None,
            Self::Keeping => Some("LOCK TABLE rotated_keys IN SHARE MODE"),
            Self::Storing => Some("LOCK TABLE credential_versions IN SHARE MODE"),
        }
    }

    /// Waits until a rotation is there.
    async fn reached(self, connected: &Connected) {
        eventually(&format!("{self:?}"), || async {
            let count = async |table: &str| connected.vault.count(table).await;
            let waits = async |table: &str| count(&format!("{WAITING} '{table}'::regclass")).await > 0;
            let minted = connected.provider.counts().keys_minted == 1;
            match self {
                Self::Answering => minted,
                Self::Keeping => minted && waits("rotated_keys").await,
                Self::Storing => {
                    count("rotated_keys WHERE role = 'MINTED'").await == 1
                        && waits("credential_versions").await
                }
                Self::Stored => count("credential_versions").await == 2,
            }
        })
        .await;
    }
}

/// A vault on which a replica was killed at that moment, in a rotation of the only connection. The lease of its claim is over;
/// the proof that it is gone is PostgreSQL's.
async fn killed(moment: Moment) -> (Connected, Client, String) {
    let mut connected = minter(VaultBuilder::postgres()).await;
    connected.vault.tenant("acme").await;
    connected.vault.stop().await;
    connected.configure_on_disk();
    // It is the kill that ends the wait for a lock.
    let patient = ["store.lock_timeout_ms=60000", "store.statement_timeout_ms=60000"];
    let process = Process::serve(connected.vault.folder.path(), &patient).unwrap();
    let leaf = connected.vault.authority.service("spiffe://test.local/app");
    let doomed =
        Client::connect(process.address, connected.vault.authority.pem(), Some(&leaf)).await.unwrap();
    let doomed = doomed.acting_for("acme", None);
    let id = doomed.create(first_key("api_key")).await.unwrap().id;
    let lock = match moment.lock() {
        Some(sql) => Some(connected.vault.blocking(sql).await),
        None => None,
    };
    connected.provider.behave(|behaviour| behaviour.hold = moment == Moment::Answering);
    let waiting = {
        let (doomed, id) = (doomed.clone(), id.clone());
        tokio::spawn(async move { rotate(&doomed, &id).await })
    };
    moment.reached(&connected).await;
    process.signal(Signal::KILL);
    assert!(waiting.await.unwrap().is_err() || moment == Moment::Stored);
    drop((process, lock));
    connected.provider.behave(|behaviour| behaviour.hold = false);
    for sql in [
        "UPDATE credential_rotations SET lease_time = 0 WHERE lease_time IS NOT NULL",
        "UPDATE credential_rotations SET search_time = 0 WHERE search_time IS NOT NULL",
        "UPDATE rotated_keys SET due_time = 0 WHERE role = 'MINTED'",
    ] {
        connected.vault.sql(sql).await;
    }
    connected.vault.start().await;
    let app = lasting(&connected, "app").await.acting_for("acme", None);
    (connected, app, id)
}

/// A key was made, and what the provider has answered is lost: the old one serves, the trace is there, and the next attempt
/// works.
async fn a_key_is_left(moment: Moment) {
    let (connected, app, id) = killed(moment).await;
    eventually("the trace", || async { standing(&app, &id).await.left_key_time.is_some() }).await;
    let standing = standing(&app, &id).await;
    assert_eq!(standing.stage(), v1::CredentialRotationStage::Unspecified);
    assert!(standing.left_key_id.is_empty(), "its answer was lost");
    assert_eq!(served(&app, &id).await, FIRST);
    let records = app.events().await;
    assert!(records.iter().any(|record| record.changed_fields == ["rotation.key_left"]));
    assert_eq!(rotate(&app, &id).await.unwrap().version, 2);
    assert!(connected.provider.has_key(&served(&app, &id).await));
    assert_eq!(connected.provider.made_keys("shop-1").len(), 2, "one of them is for a person to delete");
}

/// The new key is there: it is served without another one being made, and the old one ends.
async fn nothing_is_lost(moment: Moment) {
    let (connected, app, id) = killed(moment).await;
    eventually("the new version", || async { get(&app, &id).await.current_version == 2 }).await;
    assert!(connected.provider.has_key(&served(&app, &id).await));
    // The process that was killed had the real clock, which has gone on since the other one stands.
    connected.vault.clock.advance(OVERLAP * 2);
    ended(&connected, FIRST).await;
    settled(&app, &id).await;
    assert_eq!(connected.provider.counts().mints, 1);
    assert_eq!(standing(&app, &id).await.left_key_time, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_answer_is_under_way() {
    a_key_is_left(Moment::Answering).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_keeps_the_answer() {
    a_key_is_left(Moment::Keeping).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_stores_the_new_version() {
    nothing_is_lost(Moment::Storing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_it_has_stored_the_new_version() {
    nothing_is_lost(Moment::Stored).await;
}
