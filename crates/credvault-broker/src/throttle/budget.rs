//! The budget of each app: the most calls that it makes in any second, from all replicas together. The database counts.
//!
//! Four fifths of the budget are given out, in slices, to one tenant after the other. The rest is slack for calls that are
//! taken now and sent a moment later. A call is taken right before it is sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_domain::TenantId;
use credvault_store::{AppKey, Full, Store, Turn, Turns};
use tokio::time::Instant;

use super::idle::forget_idle;

/// The part of the budget that is given out.
const GIVEN_OUT: f64 = 0.8;
/// How much is taken from the database at once, as a time, and for how long it may be used.
const SLICE_LENGTH: Duration = Duration::from_millis(100);
/// How often a waiting call looks whether there is budget again.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Due refreshes of an app that are started and not finished: as many as the budget gives in this time.
const STARTED_AHEAD: Duration = Duration::from_secs(2);
/// The most due refreshes of an app that are started and not finished.
const MAX_STARTED: usize = 32;

/// The budgets of all apps.
pub(super) struct Budget {
    store: Store,
    /// Calls of one app in any second; 0 means no limit.
    per_second: u32,
    queues: Mutex<HashMap<AppKey, Arc<AppQueue>>>,
}

/// Where the calls of one app wait for their turn, tenant by tenant.
struct AppQueue {
    /// The turn to take calls from the database's budget.
    turns: Turns,
    /// The rest of the slice that was taken last. Only the holder of the turn uses it.
    slice: Mutex<Option<Slice>>,
    /// Permits for due refreshes.
    permits: Turns,
}

/// Calls that were taken from the budget and not used yet.
#[derive(Clone, Copy)]
struct Slice {
    calls: u32,
    good_until: Instant,
}

impl Budget {
    pub(super) fn new(store: Store, per_second: u32) -> Self {
        Self { store, per_second, queues: Mutex::default() }
    }

    /// A permit to start a due refresh. `None` if there is no limit.
    pub(super) fn permit_due(&self, app: &AppKey, tenant: &TenantId) -> Result<Option<Turn>, Full> {
        match self.per_second {
            0 => Ok(None),
            _ => self.queue(app).permits.try_take(tenant).map(Some),
        }
    }

    /// Takes one call, and waits until `deadline` for the tenant's turn and for budget. Whether a call was taken.
    pub(super) async fn take(
        &self,
        app: &AppKey,
        tenant: &TenantId,
        deadline: Instant,
    ) -> Result<bool, credvault_store::Error> {
        if self.per_second == 0 {
            return Ok(true);
        }
        let queue = self.queue(app);
        let Ok(_turn) = tokio::time::timeout_at(deadline, queue.turns.take(tenant)).await else {
            return Ok(false);
        };
        // A positive whole number that is far below the limits of the type.
        let calls = (self.calls_per_second() * SLICE_LENGTH.as_secs_f64()).ceil().max(1.0);
        let cost = Duration::from_secs_f64(calls / self.calls_per_second());
        loop {
            if queue.use_slice() {
                return Ok(true);
            }
            if self.store.spend(app, cost).await? {
                queue.set_slice(calls as u32 - 1);
                return Ok(true);
            }
            if Instant::now() + POLL_INTERVAL > deadline {
                return Ok(false);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The calls of one app in a second that are given out.
    fn calls_per_second(&self) -> f64 {
        f64::from(self.per_second) * GIVEN_OUT
    }

    fn queue(&self, app: &AppKey) -> Arc<AppQueue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        forget_idle(&mut queues, app, |queue| Arc::strong_count(queue) > 1 || !queue.permits.is_idle());
        let ahead = (self.calls_per_second() * STARTED_AHEAD.as_secs_f64()) as usize;
        let new = || AppQueue {
            turns: Turns::new(1),
            slice: Mutex::default(),
            permits: Turns::new(ahead.clamp(1, MAX_STARTED)),
        };
        Arc::clone(queues.entry(app.clone()).or_insert_with(|| Arc::new(new())))
    }
}

impl AppQueue {
    /// Uses a call of the current slice, if there is one left.
    fn use_slice(&self) -> bool {
        let mut slice = self.slice.lock().unwrap_or_else(PoisonError::into_inner);
        match slice.as_mut().filter(|slice| slice.calls > 0 && slice.good_until > Instant::now()) {
            Some(slice) => {
                slice.calls -= 1;
                true
            }
            None => false,
        }
    }

    fn set_slice(&self, calls: u32) {
        let slice = Slice { calls, good_until: Instant::now() + SLICE_LENGTH };
        *self.slice.lock().unwrap_or_else(PoisonError::into_inner) = Some(slice);
    }
}
