//! Which doors are shut. No clock and no I/O of its own.
//!
//! What a provider says to one connection is that connection's affair: its own retry time sees to it. A door shuts only
//! if several say the same with no success between: several connections of a tenant shut it for that tenant, several
//! tenants for all. So no tenant can shut a door that another one needs, or keep it shut.
//!
//! After the pause a door is ajar: as many may try as it takes to shut it again, one of each tenant. Where a renewal can
//! be repeated without risk that one tries first.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use credvault_domain::{ConnectionId, TenantId, Timestamp};
use credvault_store::{AppKey, AppRevision, LeftOut, Pause};

use crate::refresher::MAX_ATTEMPT_TIME;

/// How many must say the same.
const WITNESSES: usize = 2;
/// After how many failures with no success between a provider counts as not answering.
const PATIENCE: u32 = 5;
/// For how long it is not asked: the first time, doubled each time, at most the second.
const DOWN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// How long connections of an app wait that the provider has refused several of.
const APP_REST: Duration = Duration::from_secs(30);
/// The longest that a provider's own wish is obeyed without asking again.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long what was said is remembered.
const MEMORY: Duration = Duration::from_secs(600);
/// How long an attempt through a door that is ajar may take before another is made: longer than any takes, or what comes
/// of it would count for nothing.
const PROBE: Duration = Duration::from_secs(MAX_ATTEMPT_TIME.as_secs() + 5);
/// How long an attempt that could cost a consent leaves the first try to those that cannot.
const DEFERENCE: Duration = Duration::from_secs(5);
/// How many are remembered before those that do well are forgotten.
const REMEMBERED: usize = 10_000;
/// How many apps the search leaves out at once.
const LEFT_OUT: usize = 100;

/// What fails as one: an app at a provider; where accounts have hosts of their own, at one of these.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Door {
    pub(crate) app: AppKey,
    /// The tenant whose own app it is; `None` for the platform's.
    pub(crate) own: Option<TenantId>,
    pub(crate) host: Option<String>,
}

/// Who comes to a door.
#[derive(Clone, Debug)]
pub(crate) struct Comer {
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionId,
    /// The app that it comes with.
    pub(crate) app: AppRevision,
    /// Whether a lost answer costs it nothing.
    pub(crate) repeatable: bool,
}

/// What came of an attempt, as far as it concerns the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sign {
    /// The provider answers.
    Well,
    /// Why not to ask again, and for how long.
    Ill { pause: Pause, rest: Duration },
}

/// Why nothing is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shut {
    /// The door is shut, and for how long.
    Paused { pause: Pause, rest: Duration },
    /// Attempts are under way, to see whether the provider answers again.
    Probing,
}

/// All doors that anything was said at.
#[derive(Default)]
pub(crate) struct Doors {
    /// For everybody. Tenants are the witnesses.
    all: HashMap<Door, Breaker<TenantId>>,
    /// For one tenant. Its connections are the witnesses.
    own: HashMap<(TenantId, Door), Breaker<ConnectionId>>,
}

impl Doors {
    /// Lets a comer in, if the door is open for it; through one that is ajar, as one of those who try.
    pub(crate) fn pass(&mut self, door: &Door, comer: &Comer, now: Timestamp) -> Result<(), Shut> {
        let key = (comer.tenant.clone(), door.clone());
        if let Some(breaker) = self.all.get_mut(door) {
            breaker.look(&comer.tenant, comer, now)?;
        }
        if let Some(breaker) = self.own.get_mut(&key) {
            breaker.look(&comer.connection, comer, now)?;
            breaker.enter(&comer.connection, now);
        }
        if let Some(breaker) = self.all.get_mut(door) {
            breaker.enter(&comer.tenant, now);
        }
        Ok(())
    }

    /// Learns from an attempt. Whether the door has shut for everybody by it. `jitter`: what the pause is multiplied by.
    pub(crate) fn note(
        &mut self,
        door: &Door,
        comer: &Comer,
        sign: Sign,
        now: Timestamp,
        jitter: f64,
    ) -> bool {
        let key = (comer.tenant.clone(), door.clone());
        let Sign::Ill { pause, rest } = sign else {
            self.all.remove(door);
            self.own.remove(&key);
            return false;
        };
        make_room(&mut self.own, &key, |breaker| breaker.is_shut(now));
        make_room(&mut self.all, door, |breaker| breaker.is_shut(now));
        let said = Said { pause, until: now.after(rest.min(LONGEST)), time: now, times: 1 };
        self.own.entry(key).or_default().note(&comer.connection, said, now, jitter);
        self.all.entry(door.clone()).or_default().note(&comer.tenant, said, now, jitter)
    }

    /// Forgets what was said at the doors of a provider: the app was stored anew.
    pub(crate) fn forget(&mut self, provider: &credvault_domain::ProviderId) {
        let other = |door: &Door| door.app.provider != *provider;
        self.all.retain(|door, breaker| other(door) || !breaker.blames_app());
        self.own.retain(|(_, door), breaker| other(door) || !breaker.blames_app());
    }

    /// What nothing is sent for at all: some, if it is very much.
    pub(crate) fn left_out(&self, now: Timestamp) -> Vec<LeftOut> {
        let of_app = |tenant: Option<&TenantId>, door: &Door| LeftOut {
            tenant: tenant.or(door.own.as_ref()).cloned(),
            app: Some(door.app.clone()),
        };
        let all = self.all.iter().filter(|(door, breaker)| door.host.is_none() && breaker.is_shut(now));
        let own = self.own.iter().filter(|((_, door), breaker)| door.host.is_none() && breaker.is_shut(now));
        let all = all.map(|(door, _)| of_app(None, door));
        all.chain(own.map(|((tenant, door), _)| of_app(Some(tenant), door))).take(LEFT_OUT).collect()
    }
}

/// A door as it is for all tenants, or for all connections of one.
struct Breaker<K> {
    /// The last that each has said since the last success.
    said: HashMap<K, Said>,
    /// Why and until when it is shut. It is ajar after that, until something is well.
    shut: Option<(Pause, Timestamp)>,
    /// How often it has shut since the last success.
    rounds: u32,
    /// Who tries while it is ajar, and until when they count.
    trying: HashMap<K, Timestamp>,
    /// When someone came whose renewal can be repeated.
    repeatable: Option<Timestamp>,
}

impl<K> Default for Breaker<K> {
    fn default() -> Self {
        Self { said: HashMap::new(), shut: None, rounds: 0, trying: HashMap::new(), repeatable: None }
    }
}

#[derive(Clone, Copy)]
struct Said {
    pause: Pause,
    /// Until when it is to be left alone.
    until: Timestamp,
    time: Timestamp,
    times: u32,
}

impl<K: Clone + Eq + Hash> Breaker<K> {
    fn is_shut(&self, now: Timestamp) -> bool {
        self.shut.is_some_and(|(_, until)| until > now)
    }

    fn blames_app(&self) -> bool {
        matches!(self.shut, Some((Pause::App { .. }, _)))
    }

    /// Whether `who` may go through.
    fn look(&mut self, who: &K, comer: &Comer, now: Timestamp) -> Result<(), Shut> {
        if comer.repeatable {
            self.repeatable = Some(now);
        }
        let Some((pause, until)) = self.shut else { return Ok(()) };
        if matches!(pause, Pause::App { revision, .. } if revision != comer.app) {
            // It is another app by now.
            *self = Self::default();
            return Ok(());
        }
        let paused = |pause, until| Err(Shut::Paused { pause, rest: now.until(until) });
        if until > now {
            return paused(pause, until);
        }
        if let Some(said) = self.said.get(who).filter(|said| said.until > now) {
            return paused(said.pause, said.until);
        }
        self.trying.retain(|_, end| *end > now);
        if self.trying.contains_key(who) || self.trying.len() >= WITNESSES {
            return Err(Shut::Probing);
        }
        let others = self.repeatable.is_some_and(|time| time.after(MEMORY) > now);
        if !comer.repeatable && others && until.after(DEFERENCE) > now {
            return paused(pause, until.after(DEFERENCE));
        }
        Ok(())
    }

    /// `who` goes through, after [`Self::look`] has said that it may.
    fn enter(&mut self, who: &K, now: Timestamp) {
        if self.shut.is_some() {
            self.trying.insert(who.clone(), now.after(PROBE));
        }
    }

    /// Whether it has shut by what `who` has said.
    fn note(&mut self, who: &K, mut said: Said, now: Timestamp, jitter: f64) -> bool {
        let ajar = self.shut.is_some();
        let tried = self.trying.remove(who).is_some();
        if ajar && !tried {
            // It was sent before the door shut, so it says nothing new.
            return false;
        }
        self.said.retain(|_, said| said.time.after(MEMORY) > now);
        let before = self.said.get(who).filter(|before| before.pause == said.pause);
        said.times = before.map_or(1, |before| before.times.saturating_add(1));
        self.said.insert(who.clone(), said);
        let same = || self.said.values().filter(|other| other.pause == said.pause);
        let failures = same().fold(0_u32, |sum, said| sum.saturating_add(said.times));
        let enough = ajar || said.pause != Pause::Unavailable || failures >= PATIENCE;
        if same().count() < WITNESSES || !enough {
            return false;
        }
        let rest = match said.pause {
            Pause::Unavailable => {
                let doubled = DOWN.0.saturating_mul(1 << self.rounds.min(10)).min(DOWN.1);
                doubled.mul_f64(jitter)
            }
            Pause::App { .. } => APP_REST,
            // The shortest that was asked for: a longer one may be meant for one account.
            _ => same().map(|said| now.until(said.until)).min().unwrap_or_default(),
        };
        let (rounds, repeatable) = (self.rounds.saturating_add(1), self.repeatable);
        *self = Self { shut: Some((said.pause, now.after(rest))), rounds, repeatable, ..Self::default() };
        true
    }
}

/// Forgets what need not be kept, if there is very much and something new comes.
pub(super) fn make_room<K: Eq + Hash, V>(all: &mut HashMap<K, V>, new: &K, keep: impl Fn(&V) -> bool) {
    if all.len() >= REMEMBERED && !all.contains_key(new) {
        all.retain(|_, value| keep(value));
    }
}

#[cfg(test)]
mod tests;
