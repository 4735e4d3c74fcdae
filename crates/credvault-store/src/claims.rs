//! Claims to work at a provider that only one process may do: how long they hold, which of them this process works on, and
//! whether the owner of one is provably gone. Refreshes and rotations of credentials share it; `docs/refresh.md` has the
//! reasons.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use crate::database::liveness::is_lock_free;
use crate::{Database, Error, Store};

/// How long a claim holds while its owner cannot be proven gone, at least.
const LEASE: Duration = Duration::from_secs(45);

/// When a claim that is made now may be taken over at the earliest, by the database's clock.
pub(crate) fn lease_from(now: i64) -> i64 {
    now.saturating_add(i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX))
}

/// When a claim was made whose lease ends then.
pub(crate) fn claimed_at(lease: i64) -> i64 {
    lease.saturating_sub(i64::try_from(LEASE.as_micros()).unwrap_or(0))
}

/// The id of a claim that this process works on. Dropped with the claim, however that ends.
#[derive(Debug)]
pub(crate) struct Running(Arc<Mutex<HashSet<Uuid>>>, Uuid);

impl Running {
    pub(crate) fn begin(all: &Arc<Mutex<HashSet<Uuid>>>, claim: Uuid) -> Self {
        all.lock().unwrap_or_else(PoisonError::into_inner).insert(claim);
        Self(Arc::clone(all), claim)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Who has claimed what a row is about.
#[derive(Clone, Copy)]
pub(crate) struct Holder {
    /// The process by the name of its liveness lock.
    pub(crate) process_id: Option<Uuid>,
    /// The id of the claim.
    pub(crate) claim_id: Option<Uuid>,
    /// The end of its lease.
    pub(crate) lease_time: Option<i64>,
}

impl Store {
    /// Whether the owner of a claim is provably gone. `ours` is this process, `now` the database's time.
    pub(crate) async fn is_gone(
        &self,
        tx: &DatabaseTransaction,
        holder: Holder,
        ours: Uuid,
        now: i64,
    ) -> Result<bool, Error> {
        let Some(owner) = holder.process_id else { return Ok(true) };
        if owner == ours {
            // What this process is not at any more was left behind by an error.
            let running = self.running_claims().lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(holder.claim_id.is_none_or(|claim| !running.contains(&claim)));
        }
        if self.database() == Database::Sqlite {
            return Ok(true);
        }
        if holder.lease_time.is_some_and(|lease| lease > now) {
            return Ok(false);
        }
        is_lock_free(tx, owner).await
    }
}
