//! How long the next attempt waits after a failure.

use std::time::Duration;

use credvault_catalog::RefusalKind;
use credvault_domain::jitter;

use super::worker::Worker;

/// The pause after the first failure. Doubled with each.
pub(super) const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest pause after failures in a row.
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// The longest pause after refusals with an unknown code, which seldom go away by repeating.
const MAX_REFUSED_BACKOFF: Duration = Duration::from_secs(3600);
/// How long a provider may still be working on a request that it has not answered. Not even a forced attempt comes earlier.
pub(super) const MIN_PAUSE_AT_WORK: Duration = Duration::from_secs(60);
/// The pause after the provider refused the app itself, which an administrator must repair.
pub(super) const APP_PAUSE: Duration = Duration::from_secs(300);
/// The pause after a stored value did not open.
pub(super) const INTEGRITY_PAUSE: Duration = Duration::from_secs(3600);

impl Worker {
    /// The pause after so many failures in a row: one, two, four seconds and so on.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        self.doubled(failures, MAX_BACKOFF)
    }

    /// The same after refusals with an unknown code.
    pub(super) fn refused_backoff(&self, failures: u32) -> Duration {
        self.doubled(failures, MAX_REFUSED_BACKOFF)
    }

    /// Doubled with each failure, then shortened by up to half.
    fn doubled(&self, failures: u32, longest: Duration) -> Duration {
        let pause = FIRST_BACKOFF.saturating_mul(1 << failures.min(20)).min(longest);
        pause.mul_f64(jitter(&*self.parts.random, 0.5..=1.0))
    }
}

/// The pause after a refusal: never shorter than the vault's `own`, and as long as the provider asks for. A provider that
/// asks for fewer calls knows best how long, so its pause counts even if it is shorter, down to the shortest pause.
pub(super) fn pause_after_refusal(kind: RefusalKind, asked: Option<Duration>, own: Duration) -> Duration {
    match kind {
        RefusalKind::RateLimited => asked.unwrap_or(own).max(FIRST_BACKOFF),
        RefusalKind::InvalidGrant
        | RefusalKind::InvalidClient
        | RefusalKind::ConcurrentRequest
        | RefusalKind::ClockSkew
        | RefusalKind::Outage
        | RefusalKind::Unknown => asked.unwrap_or_default().max(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_providers_pause_counts_if_it_is_longer_and_always_if_calls_are_too_many() {
        let cases = [
            (RefusalKind::Outage, Some(0), 300, 300),
            (RefusalKind::Outage, Some(7), 300, 300),
            (RefusalKind::Outage, Some(900), 300, 900),
            (RefusalKind::Outage, None, 300, 300),
            (RefusalKind::Unknown, Some(1), 3600, 3600),
            (RefusalKind::ConcurrentRequest, Some(0), 2, 2),
            (RefusalKind::RateLimited, Some(0), 300, 1),
            (RefusalKind::RateLimited, Some(7), 300, 7),
            (RefusalKind::RateLimited, None, 300, 300),
            (RefusalKind::RateLimited, None, 0, 1),
        ];
        for (kind, asked, own, expected) in cases {
            let pause = pause_after_refusal(kind, asked.map(seconds), seconds(own));
            assert_eq!(pause, seconds(expected), "{kind:?}, {asked:?}, {own}");
        }
    }
}
