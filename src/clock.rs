//! The one place that reads the system's clock, and how far it is trusted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use credvault_domain::{Clock, Present, Timestamp};

/// The clock of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that is handed in elsewhere")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// By how much the machine's clock may differ from the database's before the latter is followed.
const TOLERATED: Duration = Duration::from_secs(5);

/// The clock that a vault works by: the machine's, or, where that is off, the time of the database, which all replicas
/// share. So a machine with a wrong clock neither serves what has ended nor refuses what has not.
///
/// Beyond `limit` either of the two may be the wrong one. Credentials are still served by the database's time, but nothing
/// is destroyed by it, and callers are authenticated only by what is valid at both times.
pub(crate) struct SharedClock {
    machine: Arc<dyn Clock>,
    /// What is added to the machine's time, in microseconds.
    correction: AtomicI64,
    /// Whether the difference is within `limit`.
    trusted: AtomicBool,
    /// Beyond which difference this process is not ready; `None` if the clocks are not compared.
    limit: Option<Duration>,
}

/// How the machine's clock compares with the database's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Agreement {
    /// Both clocks show the same time.
    Agrees,
    /// They differ, and the database's is followed.
    Differs,
    /// They differ by more than is permitted; the database's is followed where that destroys nothing.
    TooFar,
}

impl SharedClock {
    /// Works by `machine` until it is compared.
    pub(crate) fn new(machine: Arc<dyn Clock>, limit: Option<Duration>) -> Self {
        Self { machine, correction: AtomicI64::new(0), trusted: AtomicBool::new(true), limit }
    }

    /// The machine's own time, whatever the database's is.
    pub(crate) fn machine(&self) -> Timestamp {
        self.machine.now()
    }

    /// Compares: the database had the time `database` between `asked` and `answered` of the machine's clock. What the
    /// answer took counts for the machine, so a slow database makes no difference.
    pub(crate) fn compare(&self, asked: Timestamp, database: Timestamp, answered: Timestamp) -> Agreement {
        let Some(limit) = self.limit else { return Agreement::Agrees };
        let [asked, database, answered] = [asked, database, answered].map(|time| time.micros());
        // Positive if the machine is behind.
        let difference = database - database.clamp(asked.min(answered), answered.max(asked));
        let size = Duration::from_micros(difference.unsigned_abs());
        let shown = if difference > 0 { -size.as_secs_f64() } else { size.as_secs_f64() };
        metrics::gauge!("credvault_clock_difference_seconds").set(shown);
        let agreement = match size {
            _ if size > limit => Agreement::TooFar,
            _ if size > TOLERATED => Agreement::Differs,
            _ => Agreement::Agrees,
        };
        let correction = if agreement == Agreement::Agrees { 0 } else { difference };
        self.correction.store(correction, Ordering::Relaxed);
        self.trusted.store(agreement != Agreement::TooFar, Ordering::Relaxed);
        agreement
    }
}

impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        let correction = self.correction.load(Ordering::Relaxed);
        Timestamp::from_micros(self.machine.now().micros().saturating_add(correction))
    }

    fn present(&self) -> Present {
        let now = self.now();
        let machine = if self.is_trusted() { now } else { self.machine() };
        Present { earliest: now.min(machine), now, latest: now.max(machine) }
    }

    fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that stands.
    struct Standing(i64);

    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0)
        }
    }

    #[test]
    fn the_databases_time_counts_where_the_difference_is_more_than_the_answer_took() {
        let second = 1_000_000;
        let noon = 43_200 * second;
        let clock = SharedClock::new(Arc::new(Standing(noon)), Some(Duration::from_secs(30)));
        // Offset of the database, how long the answer took, the verdict, and the offset of the time that counts.
        for (offset, took, agreement, counts) in [
            (0, 0, Agreement::Agrees, 0),
            (4, 0, Agreement::Agrees, 0),
            (-4, 0, Agreement::Agrees, 0),
            (6, 0, Agreement::Differs, 6),
            (-6, 0, Agreement::Differs, -6),
            (60, 100, Agreement::Agrees, 0),
            (109, 100, Agreement::Differs, 9),
            (7200, 2, Agreement::TooFar, 7198),
            (-7200, 2, Agreement::TooFar, -7200),
        ] {
            let at = |seconds: i64| Timestamp::from_micros(noon + seconds * second);
            let told = clock.compare(at(0), at(offset), at(took));
            assert_eq!((told, clock.now()), (agreement, at(counts)), "{offset} {took}");
            // Beyond the limit either clock may be wrong, so both count against a caller, and nothing is destroyed.
            let far = agreement == Agreement::TooFar;
            let machine = if far { at(0) } else { at(counts) };
            let (earliest, latest) = (machine.min(at(counts)), machine.max(at(counts)));
            assert_eq!(clock.present(), Present { earliest, now: at(counts), latest }, "{offset} {took}");
            assert_eq!(clock.is_trusted(), !far, "{offset} {took}");
        }
        let never = SharedClock::new(Arc::new(Standing(noon)), None);
        let (now, later) = (Timestamp::from_micros(noon), Timestamp::from_micros(noon + 7200 * second));
        assert_eq!((never.compare(now, later, now), never.now()), (Agreement::Agrees, now));
    }
}
