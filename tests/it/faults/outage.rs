//! What callers see of a vault while its journal cannot be written, and what is left of it afterwards.

use std::time::{Duration, Instant};

use credvault_proto::v1;
use tokio::sync::watch;
use tonic::Status;

use crate::harness::{Client, TestVault, by_id, eventually, generic, refusal};
use crate::journal::load::{Load, each_is_recorded_once};
use crate::journal::log;

/// How many callers fetch without a pause.
const CALLERS: usize = 8;
/// How long a refusal may take: the two seconds that a call waits for its record, and one for a busy machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(3);
/// How long the vault may take until it serves again.
const SERVED_WITHIN: Duration = Duration::from_secs(20);

/// A vault under load whose journal is made unwritable, and then writable again.
pub struct Outage {
    pub vault: TestVault,
    app: Client,
    /// The connection that is fetched.
    id: String,
    load: Load,
    /// The credential's newest version that was acknowledged.
    version: i64,
    /// How many connections were acknowledged.
    connections: i64,
}

impl Outage {
    /// Begins to call a vault that serves.
    pub async fn of(vault: TestVault) -> Self {
        let app = vault.app("acme").await;
        let id = app.create(generic("main", "CANARY")).await.unwrap().id;
        let load = Load::start(&[watch::channel(app.clone()).1], CALLERS, &id);
        eventually("calls are answered", || async { load.answered(0) > 100 }).await;
        Self { vault, app, id, load, version: 1, connections: 1 }
    }

    /// Waits until calls that change nothing are refused.
    pub async fn refuses_calls(&self) {
        eventually("calls are refused", || async { self.load.refused() >= CALLERS }).await;
    }

    /// Makes changes until they are refused. What is nearly full takes some of them.
    pub async fn refuses_changes(&mut self) {
        let put = async |_: i64| self.app.put(&self.id, "CANARY changed").await.map(drop);
        let create = async |number: i64| {
            let request = generic(&format!("other-{number}"), "CANARY other");
            self.app.create(request).await.map(drop)
        };
        let (put, created) = tokio::join!(until_refused(put), until_refused(create));
        self.version += put;
        self.connections += created;
    }

    /// Waits until the load's calls are answered again.
    pub async fn ends_by_itself(&self) {
        let (begun, before) = (Instant::now(), self.load.answered(0));
        eventually("calls are answered again", || async { self.load.answered(0) > before + CALLERS }).await;
        assert!(begun.elapsed() < SERVED_WITHIN, "served again after {:?}", begun.elapsed());
    }

    /// Changes something once more, ends the load, and looks for all of it in the log.
    pub async fn end_in_the_log(self) {
        let next = self.app.put(&self.id, "CANARY after").await.unwrap();
        assert_eq!(next.version, self.version + 1, "a change that was refused has made a version");
        assert_eq!(self.app.token(by_id(&self.id)).await.unwrap(), "CANARY after");
        let calls = self.load.stop().await;
        for call in &calls {
            if let Err(status) = &call.ended {
                assert_eq!(refusal(status), "Unavailable AUDIT_UNAVAILABLE");
                assert!(call.took < REFUSED_WITHIN, "refused after {:?}", call.took);
            }
        }
        assert_eq!(self.vault.count("connections").await, self.connections);
        assert_eq!(recorded(&self.app, "CreateConnection").await, self.connections);
        assert_eq!(recorded(&self.app, "PutCredential").await, self.version);
        let records = log::records(&self.vault, &self.app, &[]).await;
        each_is_recorded_once(&calls, &records);
    }
}

/// Makes changes, which are given their number, until one is refused. Gives how many were acknowledged.
async fn until_refused(change: impl AsyncFn(i64) -> Result<(), Status>) -> i64 {
    for number in 0..5000 {
        let begun = Instant::now();
        if let Err(status) = change(number).await {
            let reason = refusal(&status);
            let known = ["Unavailable AUDIT_UNAVAILABLE", "Unavailable STORE_UNAVAILABLE"];
            assert!(known.contains(&reason.as_str()), "{status:?}");
            assert!(begun.elapsed() < REFUSED_WITHIN, "{reason} after {:?}", begun.elapsed());
            return number;
        }
    }
    panic!("no change is refused");
}

/// How many calls of an action are on record that have succeeded.
async fn recorded(client: &Client, action: &str) -> i64 {
    let outcome = v1::AuditOutcome::Ok.into();
    let filter = v1::AuditFilter { action: action.to_owned(), outcome, ..Default::default() };
    let group_by = vec![v1::AuditGroup::Outcome.into()];
    let summary = v1::SummarizeAuditEventsRequest { filter: Some(filter), group_by };
    let counted = client.audit().summarize_audit_events(summary).await.unwrap().into_inner().summaries;
    counted.iter().map(|row| row.count).sum()
}
