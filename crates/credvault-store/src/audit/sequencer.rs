//! The sequencer: it takes records from the journal and appends them to their tenants' logs, on one process at a time. Each
//! round is one transaction: what is taken goes, and what is appended stays, together or not at all.

mod aside;
mod commit;
mod placing;
mod taking;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use credvault_domain::{TenantId, chain};
use futures::StreamExt as _;
use uuid::Uuid;

use super::ends::Ends;
use super::fold::fold;
use super::lease;
use crate::{Error, Store};

/// How often rows of any age are looked for, and not only those of the last minute: a commit may come late.
const WHOLE_INTERVAL: Duration = Duration::from_secs(30);
/// How often the backlog is counted.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(5);
/// How many logs are read, or joined, side by side.
const SIDE_BY_SIDE: usize = 4;
/// How many logs are joined after a round at most.
const FOLDED_AT_ONCE: usize = 256;

/// What a round has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sequenced {
    /// How many records are in their logs now that were not before.
    pub records: u64,
    /// Whether more may wait, so that the next round should follow at once.
    pub more: bool,
}

/// Appends records to their tenants' logs while it holds the lease.
pub struct Sequencer {
    store: Store,
    ends: Ends,
    /// The epoch of the lease, while it is held.
    epoch: Option<i64>,
    /// The epoch in which a round failed. If this process also gets the next one, no other has written meanwhile.
    failed: Option<i64>,
    /// When the lease was last asked for or extended.
    asked: Option<Instant>,
    /// When rows of any age were last looked for, and none was left.
    whole: Option<Instant>,
    counted: Option<Instant>,
    /// When all rows that are set aside were last looked at, and the one behind which the next look begins.
    looked: Option<Instant>,
    aside: Uuid,
    /// Logs with pieces to be joined.
    to_fold: BTreeSet<TenantId>,
    /// Tenants whose rows the database has refused, and until when their records wait.
    refused: HashMap<TenantId, Instant>,
    /// Tenants whose log was not to be had, and how their records wait.
    rests: HashMap<TenantId, Rest>,
    /// How many rounds in a row the database has refused.
    failures: u32,
}

/// How the records of a tenant wait whose log is not to be had.
struct Rest {
    time: Duration,
    /// Until when its log is not looked for.
    until: Instant,
    /// Whether its key was asked for, and not only left because that of another was refused.
    was_asked: bool,
}

impl Store {
    /// A sequencer of this process, which has no lease yet.
    pub fn sequencer(&self) -> Sequencer {
        Sequencer {
            store: self.clone(),
            ends: Ends::default(),
            epoch: None,
            failed: None,
            asked: None,
            whole: None,
            counted: None,
            looked: None,
            aside: Uuid::nil(),
            to_fold: BTreeSet::new(),
            refused: HashMap::new(),
            rests: HashMap::new(),
            failures: 0,
        }
    }
}

impl Sequencer {
    /// Takes what waits in the journal and appends it. Does nothing while another process has the lease.
    ///
    /// Dropped at any moment, it leaves what it has committed, and must not be used again.
    ///
    /// # Errors
    /// The database fails; what was not done is done the next time.
    pub async fn round(&mut self) -> Result<Sequenced, Error> {
        let done = match self.hold().await {
            Ok(None) => return Ok(Sequenced::default()),
            Ok(Some(epoch)) => self.sequence(epoch).await,
            Err(error) => Err(error),
        };
        if done.is_err() {
            // Another process may have the lease.
            self.failed = self.epoch.take().or(self.failed);
            self.asked = None;
        }
        done
    }

    /// Whether this process has the lease.
    pub fn holds(&self) -> bool {
        self.epoch.is_some()
    }

    /// Gives the lease away, so that another process takes over at once.
    pub async fn stop(&mut self) {
        if let Some(epoch) = self.epoch.take()
            && let Err(error) = lease::give_up(&self.store, epoch).await
        {
            tracing::warn!(error = chain(&error), "the lease of the audit log could not be given up");
        }
    }

    /// The epoch, if this process has the lease or gets it.
    async fn hold(&mut self) -> Result<Option<i64>, Error> {
        let is_due = self.asked.is_none_or(|asked| asked.elapsed() >= lease::INTERVAL);
        if !is_due {
            return Ok(self.epoch);
        }
        self.asked = Some(Instant::now());
        match self.epoch {
            Some(epoch) => lease::keep(&self.store, epoch).await?,
            None => {
                self.epoch = lease::take(&self.store).await?;
                let next = self.failed.map(|failed| failed + 1);
                if self.epoch.is_some() && self.epoch != next {
                    self.ends.clear();
                }
                self.whole = None;
            }
        }
        Ok(self.epoch)
    }

    async fn sequence(&mut self, epoch: i64) -> Result<Sequenced, Error> {
        let store = self.store.clone();
        let (records, is_full) = self.append_due(epoch).await?;
        let folding = async {
            self.fold_some().await;
            Ok(())
        };
        lease::beside(&store, epoch, folding).await?;
        if self.counted.is_none_or(|counted| counted.elapsed() >= BACKLOG_INTERVAL) {
            self.counted = Some(Instant::now());
            self.show_backlog().await?;
        }
        Ok(Sequenced { records, more: is_full || !self.to_fold.is_empty() })
    }

    /// Joins pieces, of a few logs side by side. What fails is tried again when the log grows.
    async fn fold_some(&mut self) {
        let tenants: Vec<_> = self.to_fold.iter().take(FOLDED_AT_ONCE).cloned().collect();
        let store = &self.store;
        let folding = tenants.into_iter().map(|tenant| async move {
            let folded = fold(store, &tenant).await;
            (tenant, folded)
        });
        let folded: Vec<_> = futures::stream::iter(folding).buffer_unordered(SIDE_BY_SIDE).collect().await;
        for (tenant, folded) in folded {
            match folded {
                // There may be another bundle that is complete.
                Ok(true) => {}
                Ok(false) => {
                    self.to_fold.remove(&tenant);
                    self.ends.joined(&tenant);
                }
                Err(error) => {
                    self.to_fold.remove(&tenant);
                    let error = chain(&error);
                    tracing::warn!(error, %tenant, "pieces of an audit log could not be joined yet");
                }
            }
        }
    }
}

impl std::fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sequencer").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
