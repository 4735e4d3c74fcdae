//! How fast refreshes go to a provider: a budget for each app over all replicas, and a breaker in each of them.
//!
//! The budget is what an app sends in any second at most. Four fifths of it are given away, in slices, first come, first
//! served; the rest is slack for what is taken now and sent a moment later. It is taken right before sending. The breaker
//! stops asking a provider that does not answer, and obeys one that asks for fewer calls.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_domain::{Clock, Random, Timestamp};
use credvault_store::{AppKey, Store};
use tokio::time::Instant;

use crate::refresher::fraction;

/// How much of the budget is given away.
const SHARE: f64 = 0.8;
/// How much is taken in one go, and how long that counts.
const SLICE: Duration = Duration::from_millis(100);
/// How often it is looked whether there is budget again.
const LOOK: Duration = Duration::from_millis(50);
/// How many due refreshes of an app are begun, at most: what the budget gives in this time, and never more than these.
const AHEAD: (Duration, usize) = (Duration::from_secs(2), 32);
/// After how many failures in a row a provider is not asked any more.
const PATIENCE: u32 = 5;
/// For how long: the first time, doubled each time, at most the second.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// How long the one attempt that is let through may take before another is.
const PROBE: Duration = Duration::from_secs(15);
/// The longest that a provider's own wish is obeyed without asking again.
const LONGEST: Duration = Duration::from_secs(3600);
/// How many are remembered before those that do well are forgotten.
const REMEMBERED: usize = 10_000;
/// How many apps the search leaves out at once.
const LEFT_OUT: usize = 100;

/// What fails as one: an app at a provider; where accounts have hosts of their own, at one of these.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Door {
    pub(crate) app: AppKey,
    pub(crate) host: Option<String>,
}

/// What came of an attempt, as far as it concerns the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sign {
    /// The provider answers.
    Well,
    /// It does not answer, or says that it cannot.
    Down,
    /// It wants no calls of this app for a while.
    Pause(Duration),
    /// It does not accept the app itself, which somebody has to mend.
    Refused(Duration),
}

/// Why nothing is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shut {
    /// The provider does not answer.
    Down(Duration),
    /// It wants no calls.
    Unwanted(Duration),
    /// One attempt is under way, to see whether it answers again.
    Probing,
}

/// Paces the refreshes of this process.
pub(crate) struct Pace {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Calls of one app in any second; 0 for no limit.
    per_second: u32,
    doors: Mutex<HashMap<Door, Breaker>>,
    lanes: Mutex<HashMap<AppKey, Arc<Lane>>>,
}

#[derive(Default)]
struct Breaker {
    failures: u32,
    /// Nothing is sent until then.
    shut: Option<Timestamp>,
    unwanted: bool,
    probing: bool,
}

/// Where the calls of one app wait for their turn, one behind the other.
#[derive(Default)]
struct Lane {
    /// Taken from the budget and not used yet, and until when that counts.
    credit: tokio::sync::Mutex<Option<(u32, Instant)>>,
    /// Due refreshes that are under way.
    begun: AtomicUsize,
}

/// A due refresh that is under way. Dropped with it, however that ends.
pub(crate) struct Begun(Arc<Lane>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.begun.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Pace {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>, per_second: u32) -> Self {
        Self { store, clock, random, per_second, doors: Mutex::default(), lanes: Mutex::default() }
    }

    /// Whether nothing is to be sent. The one who may send after a pause is the probe: others wait for what it finds.
    pub(crate) fn shut(&self, door: &Door) -> Option<Shut> {
        let now = self.clock.now();
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let breaker = doors.get_mut(door)?;
        let shut = breaker.shut?;
        if shut > now {
            let rest = now.until(shut);
            let down = if breaker.probing { Shut::Probing } else { Shut::Down(rest) };
            return Some(if breaker.unwanted { Shut::Unwanted(rest) } else { down });
        }
        breaker.probing = breaker.failures >= PATIENCE;
        breaker.unwanted = false;
        breaker.shut = breaker.probing.then(|| now.after(PROBE));
        None
    }

    /// The apps that nothing is sent for at all: some, if they are very many.
    pub(crate) fn all_shut(&self) -> HashSet<AppKey> {
        let now = self.clock.now();
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let shut = doors
            .iter()
            .filter(|(door, breaker)| door.host.is_none() && breaker.shut.is_some_and(|shut| shut > now));
        shut.map(|(door, _)| door.app.clone()).take(LEFT_OUT).collect()
    }

    /// Learns from an attempt.
    pub(crate) fn note(&self, door: &Door, sign: Sign) {
        let now = self.clock.now();
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        if sign == Sign::Well {
            doors.remove(door);
            return;
        }
        make_room(&mut doors, door, |breaker| breaker.shut.is_some_and(|shut| shut > now));
        let breaker = doors.entry(door.clone()).or_default();
        breaker.probing = false;
        breaker.unwanted = matches!(sign, Sign::Pause(_));
        match sign {
            Sign::Pause(pause) | Sign::Refused(pause) => breaker.shut = Some(now.after(pause.min(LONGEST))),
            Sign::Down => {
                breaker.failures = breaker.failures.saturating_add(1);
                if let Some(times) = breaker.failures.checked_sub(PATIENCE) {
                    let pause = PAUSE.0.saturating_mul(1 << times.min(10)).min(PAUSE.1);
                    let jitter = 0.5 + 0.5 * fraction(&*self.random);
                    breaker.shut = Some(now.after(pause.mul_f64(jitter)));
                    let provider = door.app.provider.as_str();
                    tracing::warn!(provider, "the provider does not answer; it is asked less");
                }
            }
            Sign::Well => {}
        }
    }

    /// Room for another due refresh of an app, if there is some: what is begun should not wait for long.
    pub(crate) fn begin(&self, app: &AppKey) -> Option<Begun> {
        let given = f64::from(self.per_second) * SHARE * AHEAD.0.as_secs_f64();
        let limit = if self.per_second == 0 { usize::MAX } else { (given as usize).clamp(1, AHEAD.1) };
        let lane = self.lane(app);
        let taken = lane
            .begun
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |begun| (begun < limit).then_some(begun + 1));
        taken.is_ok().then(|| Begun(lane))
    }

    /// Takes one call from the budget, waiting for it until then behind all who came before. Whether there was one.
    pub(crate) async fn take(&self, app: &AppKey, until: Instant) -> Result<bool, credvault_store::Error> {
        if self.per_second == 0 {
            return Ok(true);
        }
        let lane = self.lane(app);
        let Ok(mut credit) = tokio::time::timeout_at(until, lane.credit.lock()).await else {
            return Ok(false);
        };
        // A positive whole number that is far below the limits of the type.
        let slice = (f64::from(self.per_second) * SHARE * SLICE.as_secs_f64()).ceil().max(1.0);
        loop {
            if let Some((left, good_until)) = credit.filter(|(left, _)| *left > 0)
                && good_until > Instant::now()
            {
                *credit = Some((left - 1, good_until));
                return Ok(true);
            }
            let cost = Duration::from_secs_f64(slice / (f64::from(self.per_second) * SHARE));
            if self.store.spend(app, cost).await? {
                *credit = Some((slice as u32 - 1, Instant::now() + SLICE));
                return Ok(true);
            }
            if Instant::now() + LOOK > until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn lane(&self, app: &AppKey) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut lanes, app, |lane| Arc::strong_count(lane) > 1);
        Arc::clone(lanes.entry(app.clone()).or_default())
    }
}

/// Forgets what need not be kept, if there is very much and something new comes.
fn make_room<K: Eq + Hash, V>(all: &mut HashMap<K, V>, new: &K, keep: impl Fn(&V) -> bool) {
    if all.len() >= REMEMBERED && !all.contains_key(new) {
        all.retain(|_, value| keep(value));
    }
}
