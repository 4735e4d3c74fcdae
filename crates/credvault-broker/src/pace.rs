//! How fast refreshes go to a provider: a budget for each app over all replicas, and doors in each of them that shut for
//! a while ([`doors`]).
//!
//! The budget is what an app sends in any second at most. Four fifths of it are given away, in slices, to one tenant
//! after the other; the rest is slack for what is taken now and sent a moment later. It is taken right before sending.

mod doors;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use credvault_domain::{Clock, ProviderId, Random, TenantId, jitter};
use credvault_store::{AppKey, Full, LeftOut, Store, Turn, Turns};
use tokio::time::Instant;

pub(crate) use doors::{Comer, Door, Shut, Sign};
use doors::{Doors, make_room};

/// How much of the budget is given away.
const SHARE: f64 = 0.8;
/// How much is taken in one go, and how long that counts.
const SLICE: Duration = Duration::from_millis(100);
/// How often it is looked whether there is budget again.
const LOOK: Duration = Duration::from_millis(50);
/// How many due refreshes of an app are begun, at most: what the budget gives in this time, and never more than these.
const AHEAD: (Duration, usize) = (Duration::from_secs(2), 32);

/// Paces the refreshes of this process.
pub(crate) struct Pace {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Calls of one app in any second; 0 for no limit.
    per_second: u32,
    doors: Mutex<Doors>,
    lanes: Mutex<HashMap<AppKey, Arc<Lane>>>,
}

/// Where the calls of one app wait for their turn, tenant by tenant.
struct Lane {
    /// The turn to take from the budget.
    queue: Turns,
    /// Taken from the budget and not used yet, and until when that counts. Of whoever has the turn.
    credit: Mutex<Option<(u32, Instant)>>,
    /// Due refreshes that are under way.
    begun: Turns,
}

impl Pace {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>, per_second: u32) -> Self {
        Self { store, clock, random, per_second, doors: Mutex::default(), lanes: Mutex::default() }
    }

    /// Lets a comer through a door, if it is open.
    pub(crate) fn pass(&self, door: &Door, comer: &Comer) -> Result<(), Shut> {
        self.doors().pass(door, comer, self.clock.now())
    }

    /// Learns from an attempt.
    pub(crate) fn note(&self, door: &Door, comer: &Comer, sign: Sign) {
        if self.doors().note(door, comer, sign, self.clock.now(), jitter(&*self.random, 0.5..=1.0)) {
            let (provider, host) = (door.app.provider.as_str(), door.host.as_deref());
            tracing::warn!(provider, host, ?sign, "several tenants are refused; the provider is asked less");
        }
    }

    /// What nothing is sent for at the moment.
    pub(crate) fn left_out(&self) -> Vec<LeftOut> {
        self.doors().left_out(self.clock.now())
    }

    /// Ends the pauses that a provider's app has caused: it was stored anew.
    pub(crate) fn forget(&self, provider: &ProviderId) {
        self.doors().forget(provider);
    }

    /// Room for another due refresh of a tenant with an app: what is begun should not wait for long. `None` where nothing
    /// is to be waited for.
    pub(crate) fn begin(&self, app: &AppKey, tenant: &TenantId) -> Result<Option<Turn>, Full> {
        match self.per_second {
            0 => Ok(None),
            _ => self.lane(app).begun.try_take(tenant).map(Some),
        }
    }

    /// Takes one call from the budget, waiting until then for the tenant's turn. Whether there was one.
    pub(crate) async fn take(
        &self,
        app: &AppKey,
        tenant: &TenantId,
        until: Instant,
    ) -> Result<bool, credvault_store::Error> {
        if self.per_second == 0 {
            return Ok(true);
        }
        let lane = self.lane(app);
        let Ok(_turn) = tokio::time::timeout_at(until, lane.queue.take(tenant)).await else {
            return Ok(false);
        };
        // A positive whole number that is far below the limits of the type.
        let slice = (f64::from(self.per_second) * SHARE * SLICE.as_secs_f64()).ceil().max(1.0);
        loop {
            if lane.spend_credit() {
                return Ok(true);
            }
            let cost = Duration::from_secs_f64(slice / (f64::from(self.per_second) * SHARE));
            if self.store.spend(app, cost).await? {
                lane.set_credit(slice as u32 - 1);
                return Ok(true);
            }
            if Instant::now() + LOOK > until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn doors(&self) -> MutexGuard<'_, Doors> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, app: &AppKey) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut lanes, app, |lane| Arc::strong_count(lane) > 1 || !lane.begun.is_idle());
        let given = f64::from(self.per_second) * SHARE * AHEAD.0.as_secs_f64();
        let begun = || Turns::new((given as usize).clamp(1, AHEAD.1));
        let lane = || Arc::new(Lane { queue: Turns::new(1), credit: Mutex::default(), begun: begun() });
        Arc::clone(lanes.entry(app.clone()).or_insert_with(lane))
    }
}

impl Lane {
    fn spend_credit(&self) -> bool {
        let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((left, good_until)) =
            credit.filter(|(left, good_until)| *left > 0 && *good_until > Instant::now())
        else {
            return false;
        };
        *credit = Some((left - 1, good_until));
        true
    }

    fn set_credit(&self, left: u32) {
        *self.credit.lock().unwrap_or_else(PoisonError::into_inner) = Some((left, Instant::now() + SLICE));
    }
}
