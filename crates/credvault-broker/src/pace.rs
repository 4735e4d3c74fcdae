//! How fast refreshes go to a provider: a budget for each app over all replicas, and a breaker in each of them.
//!
//! The budget is what the app sends in any second at most. Four fifths of it are given away ahead of time, first come,
//! first served; a tenth is kept for callers who wait, who may run that much ahead; a tenth is slack for what was taken
//! in one go and is sent a moment later. The breaker stops asking a provider that does not answer, and obeys one that
//! asks for fewer calls.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_domain::{Clock, Random, Timestamp};
use credvault_store::{AppKey, Store};
use tokio::time::Instant;

use crate::refresher::fraction;

/// How much of the budget is given away.
const SHARE: f64 = 0.8;
/// How far callers who wait may run ahead, and how much is taken in one go for those who do not.
const SLICE: Duration = Duration::from_millis(100);
/// How often it is looked whether there is budget again.
const LOOK: Duration = Duration::from_millis(50);
/// After how many failures in a row a provider is not asked any more.
const PATIENCE: u32 = 5;
/// For how long: the first time, doubled each time, at most the second.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// How long the one attempt that is let through may take before another is.
const PROBE: Duration = Duration::from_secs(15);
/// The longest that a provider's own wish is obeyed without asking again.
const LONGEST: Duration = Duration::from_secs(3600);
/// How many apps are remembered before those that do well are forgotten.
const REMEMBERED: usize = 10_000;

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

/// Paces the refreshes of this process.
pub(crate) struct Pace {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Calls of one app in any second; 0 for no limit.
    per_second: u32,
    apps: Mutex<HashMap<AppKey, App>>,
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

#[derive(Default)]
struct App {
    failures: u32,
    /// Nothing is sent until then.
    shut: Option<Timestamp>,
    unwanted: bool,
    probing: bool,
    /// Taken from the budget and not used yet, and until when that counts.
    credit: Option<(u32, Instant)>,
}

impl Pace {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>, per_second: u32) -> Self {
        Self { store, clock, random, per_second, apps: Mutex::default() }
    }

    fn with<T>(&self, app: &AppKey, look: impl FnOnce(&mut App) -> T) -> T {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if apps.len() >= REMEMBERED && !apps.contains_key(app) {
            apps.retain(|_, app| app.failures > 0 || app.shut.is_some());
        }
        look(apps.entry(app.clone()).or_default())
    }

    /// Whether nothing is to be sent. The one who may send after a pause is the probe: others wait for what it finds.
    pub(crate) fn shut(&self, app: &AppKey) -> Option<Shut> {
        let now = self.clock.now();
        self.with(app, |app| {
            let shut = app.shut?;
            if shut > now {
                let rest = now.until(shut);
                let down = if app.probing { Shut::Probing } else { Shut::Down(rest) };
                return Some(if app.unwanted { Shut::Unwanted(rest) } else { down });
            }
            app.probing = app.failures >= PATIENCE;
            app.unwanted = false;
            app.shut = app.probing.then(|| now.after(PROBE));
            None
        })
    }

    /// The apps that nothing is sent for.
    pub(crate) fn all_shut(&self) -> HashSet<AppKey> {
        let now = self.clock.now();
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let shut = apps.iter().filter(|(_, app)| app.shut.is_some_and(|shut| shut > now));
        shut.map(|(key, _)| key.clone()).collect()
    }

    /// Learns from an attempt.
    pub(crate) fn note(&self, app: &AppKey, sign: Sign) {
        let now = self.clock.now();
        let jitter = 0.5 + 0.5 * fraction(&*self.random);
        self.with(app, |state| match sign {
            Sign::Well => *state = App { credit: state.credit, ..App::default() },
            Sign::Refused(pause) => {
                (state.unwanted, state.probing) = (false, false);
                state.shut = Some(now.after(pause.min(LONGEST)));
            }
            Sign::Pause(pause) => {
                (state.unwanted, state.probing) = (true, false);
                state.shut = Some(now.after(pause.min(LONGEST)));
            }
            Sign::Down => {
                state.probing = false;
                state.failures = state.failures.saturating_add(1);
                if let Some(times) = state.failures.checked_sub(PATIENCE) {
                    let pause = PAUSE.0.saturating_mul(1 << times.min(10)).min(PAUSE.1);
                    state.shut = Some(now.after(pause.mul_f64(jitter)));
                    tracing::warn!(
                        provider = app.provider.as_str(),
                        "the provider does not answer; it is asked less"
                    );
                }
            }
        });
    }

    /// Takes one call from the budget, if there is one right now. For work that nobody waits for.
    pub(crate) async fn take(&self, app: &AppKey) -> Result<bool, credvault_store::Error> {
        if self.per_second == 0 {
            return Ok(true);
        }
        let used = self.with(app, |app| match app.credit {
            Some((left, until)) if left > 0 && until > Instant::now() => {
                app.credit = Some((left - 1, until));
                true
            }
            _ => false,
        });
        if used {
            return Ok(true);
        }
        let slice = (f64::from(self.per_second) * SHARE * SLICE.as_secs_f64()).ceil().max(1.0);
        if !self.store.spend(app, self.cost().mul_f64(slice), Duration::ZERO).await? {
            return Ok(false);
        }
        // A positive whole number that is far below the limits of the type.
        let left = (slice as u32).saturating_sub(1);
        self.with(app, |app| app.credit = Some((left, Instant::now() + SLICE)));
        Ok(true)
    }

    /// Takes one call for somebody who waits, and waits for it until then. Whether there was one.
    pub(crate) async fn wait(&self, app: &AppKey, until: Instant) -> Result<bool, credvault_store::Error> {
        if self.per_second == 0 {
            return Ok(true);
        }
        while !self.store.spend(app, self.cost(), SLICE).await? {
            if Instant::now() + LOOK > until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(true)
    }

    /// How long one call lasts at the rate that is given away.
    fn cost(&self) -> Duration {
        Duration::from_secs_f64(1.0 / (f64::from(self.per_second.max(1)) * SHARE))
    }
}
