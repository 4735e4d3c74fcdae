//! One circuit: whether requests go through, decided by what its members report. A member is a tenant, for a circuit that
//! all share, or a connection, for a circuit of one tenant. It reads no clock.
//!
//! A circuit opens if several members report the same failure with no success between. After a pause it is half open: as
//! many members may probe as it takes to open it again.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use credvault_domain::{ConnectionId, TenantId, Timestamp};
use credvault_store::{AppRevision, Pause};

use crate::deadlines::MAX_ATTEMPT_TIME;

/// How many members must report the same failure to open a circuit.
const MEMBERS_TO_OPEN: usize = 2;
/// How many members may probe at once: as many as it takes to open the circuit again.
const MAX_PROBES: usize = MEMBERS_TO_OPEN;
/// How many failures in a row, of all members, count as an outage.
pub(super) const OUTAGE_FAILURES: u32 = 5;
/// For how long a provider that does not answer is left alone the first time. Doubled each time.
const FIRST_OUTAGE_PAUSE: Duration = Duration::from_secs(5);
/// For how long a provider that does not answer is left alone at most.
pub(super) const MAX_OUTAGE_PAUSE: Duration = Duration::from_secs(60);
/// For how long an app is left alone that the provider does not accept.
const APP_PAUSE: Duration = Duration::from_secs(30);
/// How long a report counts.
const REPORT_MEMORY: Duration = Duration::from_secs(600);
/// How long a probe may take before another member may probe. Longer than any attempt takes, because the report of a
/// probe that is over counts for nothing.
const PROBE_TIMEOUT: Duration = Duration::from_secs(MAX_ATTEMPT_TIME.as_secs() + 5);
/// How long an attempt that could cost a consent leaves the first probe to attempts that cannot.
pub(super) const REPEATABLE_HEAD_START: Duration = Duration::from_secs(5);

/// An attempt to refresh, as far as it concerns circuits.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionId,
    /// The app that the request is made with.
    pub(crate) app: AppRevision,
    /// Whether the request can be repeated without risk if its answer is lost.
    pub(crate) repeatable: bool,
}

/// The outcome of an attempt, as far as it concerns other attempts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The provider answers requests.
    Success,
    /// Why the provider should not be asked, and for how long.
    Failure { pause: Pause, retry: Duration },
}

/// Why a circuit lets nothing through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CircuitOpen {
    /// The circuit is open, and for how long.
    Paused { pause: Pause, retry: Duration },
    /// Enough members are probing whether the provider answers again.
    Probing,
}

/// A circuit with members of type `M`.
pub(super) struct Circuit<M> {
    /// The last report of each member since the last success.
    reports: HashMap<M, Report>,
    /// Why and until when it is open. Afterwards it is half open until a success.
    open: Option<(Pause, Timestamp)>,
    /// How often it has opened since the last success.
    rounds: u32,
    /// The members that probe, and until when their probes count.
    probes: HashMap<M, Timestamp>,
    /// When the last attempt came that can be repeated.
    repeatable: Option<Timestamp>,
}

impl<M> Default for Circuit<M> {
    fn default() -> Self {
        Self { reports: HashMap::new(), open: None, rounds: 0, probes: HashMap::new(), repeatable: None }
    }
}

/// A failure that a member has reported.
#[derive(Clone, Copy)]
struct Report {
    pause: Pause,
    /// Until when the provider is to be left alone.
    until: Timestamp,
    time: Timestamp,
    /// How often the member has reported this failure in a row.
    times: u32,
}

impl<M: Clone + Eq + Hash> Circuit<M> {
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        self.open.is_some_and(|(_, until)| until > now)
    }

    /// Whether the circuit is open, or half open, because the provider does not accept an app.
    pub(super) fn blames_app(&self) -> bool {
        matches!(self.open, Some((Pause::App { .. }, _)))
    }

    /// Whether an attempt of `member` may go through. If it does, [`Circuit::enter`] must follow.
    pub(super) fn check(&mut self, member: &M, attempt: &Attempt, now: Timestamp) -> Result<(), CircuitOpen> {
        if attempt.repeatable {
            self.repeatable = Some(now);
        }
        let Some((pause, until)) = self.open else { return Ok(()) };
        if matches!(pause, Pause::App { revision, .. } if revision != attempt.app) {
            // The app that caused this was replaced.
            *self = Self::default();
            return Ok(());
        }
        let paused = |pause, until| Err(CircuitOpen::Paused { pause, retry: now.until(until) });
        if until > now {
            return paused(pause, until);
        }
        if let Some(report) = self.reports.get(member).filter(|report| report.until > now) {
            return paused(report.pause, report.until);
        }
        self.probes.retain(|_, end| *end > now);
        if self.probes.contains_key(member) || self.probes.len() >= MAX_PROBES {
            return Err(CircuitOpen::Probing);
        }
        let others = self.repeatable.is_some_and(|time| time.after(REPORT_MEMORY) > now);
        if !attempt.repeatable && others && until.after(REPEATABLE_HEAD_START) > now {
            return paused(pause, until.after(REPEATABLE_HEAD_START));
        }
        Ok(())
    }

    /// Lets an attempt of `member` through: as a probe, if the circuit is half open.
    pub(super) fn enter(&mut self, member: &M, now: Timestamp) {
        if self.open.is_some() {
            self.probes.insert(member.clone(), now.after(PROBE_TIMEOUT));
        }
    }

    /// Records a failure that `member` has met. Whether the circuit has opened by it. The pause after an outage is
    /// multiplied by `jitter`.
    pub(super) fn record(
        &mut self,
        member: &M,
        pause: Pause,
        until: Timestamp,
        now: Timestamp,
        jitter: f64,
    ) -> bool {
        let half_open = self.open.is_some();
        let probed = self.probes.remove(member).is_some();
        if half_open && !probed {
            // The request was sent before the circuit opened, so its failure is not new.
            return false;
        }
        self.reports.retain(|_, report| report.time.after(REPORT_MEMORY) > now);
        let before = self.reports.get(member).filter(|before| before.pause == pause);
        let times = before.map_or(1, |before| before.times.saturating_add(1));
        self.reports.insert(member.clone(), Report { pause, until, time: now, times });
        if !self.is_to_open(pause, half_open) {
            return false;
        }
        let rest = self.pause_after(pause, now, jitter);
        let (rounds, repeatable) = (self.rounds.saturating_add(1), self.repeatable);
        *self = Self { open: Some((pause, now.after(rest))), rounds, repeatable, ..Self::default() };
        true
    }

    /// The reports of the same failure.
    fn reports_of(&self, pause: Pause) -> impl Iterator<Item = &Report> {
        self.reports.values().filter(move |report| report.pause == pause)
    }

    fn is_to_open(&self, pause: Pause, half_open: bool) -> bool {
        let failures = self.reports_of(pause).fold(0_u32, |sum, report| sum.saturating_add(report.times));
        let enough = half_open || pause != Pause::Unavailable || failures >= OUTAGE_FAILURES;
        enough && self.reports_of(pause).count() >= MEMBERS_TO_OPEN
    }

    /// For how long the circuit is open that opens now.
    fn pause_after(&self, pause: Pause, now: Timestamp, jitter: f64) -> Duration {
        match pause {
            Pause::Unavailable => {
                let doubled = FIRST_OUTAGE_PAUSE.saturating_mul(1 << self.rounds.min(10));
                doubled.min(MAX_OUTAGE_PAUSE).mul_f64(jitter)
            }
            Pause::App { .. } => APP_PAUSE,
            // The shortest pause that was asked for: a longer one may be meant for one account.
            Pause::AtWork
            | Pause::Throttled
            | Pause::Crowded
            | Pause::Vault
            | Pause::Uncatalogued
            | Pause::Refused
            | Pause::Incomplete
            | Pause::Clock
            | Pause::Broken => {
                self.reports_of(pause).map(|report| now.until(report.until)).min().unwrap_or_default()
            }
        }
    }
}
