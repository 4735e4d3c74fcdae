//! How often a credential is to be replaced, as it is stored, and when it is due by that.

use std::time::Duration;

use credvault_domain::Timestamp;

/// The shortest time to what is due from now on, so that it is found.
const SOON: Duration = Duration::from_secs(1);
/// The seconds of a day.
const DAY_SECONDS: u64 = 24 * 3600;

/// How often a credential is to be replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RotationPlan {
    /// After how long, in whole days.
    pub period: Duration,
    /// Whether the vault can replace it at the provider. Otherwise it reminds of it.
    pub mints: bool,
}

impl RotationPlan {
    /// The days of the period, as they are stored.
    pub(crate) fn days(&self) -> i64 {
        i64::try_from(self.period.as_secs() / DAY_SECONDS).unwrap_or(i64::MAX)
    }
}

/// The period of so many days.
pub(crate) fn period(days: i64) -> Duration {
    Duration::from_secs(u64::try_from(days).unwrap_or(0).saturating_mul(DAY_SECONDS))
}

/// When a credential is due that is there since `since`; not before a moment from now.
pub(crate) fn due_time(days: Option<i64>, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    days.map(|days| since.after(period(days)).max(now.after(SOON)))
}
