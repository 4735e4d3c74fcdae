//! A replica that is killed at each step of a refresh. The process that takes over finds the chain alive, or knows that it may
//! not be: `docs/refresh.md`. The database is PostgreSQL, where replicas outlive each other.

use std::time::Duration;

use credvault_proto::v1;
use credvault_simulator::Rotation;
use rustix::process::Signal;
use sea_orm::DatabaseTransaction;

use crate::harness::provider::{Connected, GRACE, STRICT, state};
use crate::harness::{Client, Process, VaultBuilder, by_id, eventually, refusal};

/// The processes that wait until they may write to this database's table of tokens.
const WAITING: &str = "pg_locks JOIN pg_database AS d ON d.oid = database
    WHERE NOT granted AND datname = current_database() AND relation = 'tokens'::regclass";

/// When a replica is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    /// Its claim stands, and nothing has been sent: it waits for its share of the app's budget.
    Claimed,
    /// The provider has refreshed, and holds its answer back.
    Answering,
    /// It has the answer, and cannot store it yet.
    Keeping,
    /// What the provider gave is stored.
    Stored,
}

impl Moment {
    /// Stops a refresh there, before it begins.
    async fn prepare(self, connected: &Connected) -> Option<DatabaseTransaction> {
        let lock = match self {
            Self::Claimed => "LOCK TABLE budgets IN EXCLUSIVE MODE",
            Self::Keeping => "LOCK TABLE tokens IN SHARE MODE",
            Self::Answering => {
                connected.provider.behave(|behaviour| behaviour.hold = true);
                return None;
            }
            Self::Stored => return None,
        };
        Some(connected.vault.blocking(lock).await)
    }

    /// Waits until a refresh is there.
    async fn reached(self, connected: &Connected) {
        eventually(&format!("{self:?}"), || async {
            let count = async |table: &str| connected.vault.count(table).await;
            let claimed = count("refreshes WHERE state = 'IN_FLIGHT'").await == 1;
            match self {
                Self::Claimed => claimed,
                Self::Answering => claimed && connected.provider.counts().refreshes_granted == 1,
                Self::Keeping => claimed && count(WAITING).await > 0,
                Self::Stored => count("tokens WHERE generation = 2").await == 1,
            }
        })
        .await;
    }
}

/// A vault on which a replica was killed at that moment, in its refresh of the only connection's expired token. The
/// lease of its claim is over; the proof that it is gone is PostgreSQL's.
async fn killed(moment: Moment, refresh_section: &str, grace: Duration) -> (Connected, Client, String) {
    let mut connected = VaultBuilder::postgres().start_with_provider(refresh_section).await;
    connected.vault.tenant("acme").await;
    connected.provider.behave(|behaviour| {
        behaviour.rotation = Rotation::Rotating { grace, same_answer_within_grace: false };
    });
    connected.vault.stop().await;
    connected.configure_on_disk();
    let folder = connected.vault.folder.path();
    // It is the kill that ends the wait for a lock.
    let patient = ["store.lock_timeout_ms=60000", "store.statement_timeout_ms=60000"];
    let process = Process::serve(folder, &patient).unwrap();
    let leaf = connected.vault.authority.service("spiffe://test.local/app");
    let doomed =
        Client::connect(process.address, connected.vault.authority.pem(), Some(&leaf)).await.unwrap();
    let doomed = doomed.acting_for("acme", None);
    let lock = moment.prepare(&connected).await;
    let id = connected.granted(&doomed, "shop-1", -60).await;
    let waiting = {
        let doomed = doomed.clone();
        let id = id.clone();
        tokio::spawn(async move { doomed.fetch(by_id(&id)).await })
    };
    moment.reached(&connected).await;
    process.signal(Signal::KILL);
    assert!(waiting.await.unwrap().is_err() || moment == Moment::Stored);
    drop((process, lock));
    connected.provider.behave(|behaviour| behaviour.hold = false);
    connected.vault.sql("UPDATE refreshes SET lease_time = 0, due_time = NULL").await;
    connected.vault.start().await;
    let app = connected.vault.client("app").await.acting_for("acme", None);
    (connected, app, id)
}

/// The chain lives, after so many requests for new tokens.
async fn lives(connected: &Connected, app: &Client, id: &str, requests: u64) {
    app.fetch(by_id(id)).await.unwrap();
    assert_eq!(connected.provider.counts().refreshes, requests);
    connected.chain_lives(app, id).await;
}

/// The provider has refreshed, and what it gave is lost.
async fn answered_in_vain(moment: Moment) {
    let (connected, app, id) = killed(moment, GRACE, Duration::from_secs(1800)).await;
    lives(&connected, &app, &id, 2).await;

    // No living process knows whether the provider has acted: it is asked once more, and then no more.
    let (connected, app, id) = killed(moment, STRICT, Duration::ZERO).await;
    for _ in 0..3 {
        let dead = app.fetch(by_id(&id)).await.unwrap_err();
        assert_eq!(refusal(&dead), "FailedPrecondition REAUTHORIZATION_REQUIRED");
        assert_eq!(state(&app, &id).await, (v1::ConnectionState::Error, "REAUTHORIZATION_REQUIRED".into()));
    }
    assert_eq!(connected.provider.counts().refreshes, 2);
}

/// The provider has not been asked, or what it gave is stored: nothing is lost, however strict it is.
async fn nothing_is_lost(moment: Moment) {
    for (refresh_section, grace) in [(GRACE, Duration::from_secs(1800)), (STRICT, Duration::ZERO)] {
        let (connected, app, id) = killed(moment, refresh_section, grace).await;
        lives(&connected, &app, &id, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_sends() {
    nothing_is_lost(Moment::Claimed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_answer_is_under_way() {
    answered_in_vain(Moment::Answering).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_stores_the_answer() {
    answered_in_vain(Moment::Keeping).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_it_has_stored_the_answer() {
    nothing_is_lost(Moment::Stored).await;
}
