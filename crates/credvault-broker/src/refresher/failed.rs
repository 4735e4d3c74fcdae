//! What came of an attempt that gave nothing.

use std::time::Duration;

use credvault_catalog::RefusalKind;
use credvault_domain::{Reason, Timestamp, jitter};
use credvault_store::{AppFault, AppRevision, Claimed, Pause, RefreshFailure};

use super::{Inner, RefreshError};
use crate::http::Answer;

/// The pauses after failures: the first, doubled each time, at most the second.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// The same after refusals that the vault does not understand: to repeat them seldom helps.
const REFUSED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// How long a provider may still be at a request that it has not answered. Nothing is repeated earlier, whoever insists.
const STILL_AT_IT: Duration = Duration::from_secs(60);
/// The pause after the provider refused the app itself, which somebody has to mend first.
pub(super) const APP_PAUSE: Duration = Duration::from_secs(300);
/// The pause after a stored value did not open.
const BROKEN_PAUSE: Duration = Duration::from_secs(3600);

impl Inner {
    pub(super) fn refused(
        &self,
        claimed: &Claimed,
        (kind, code): (RefusalKind, Option<String>),
        answer: &Answer,
        retry: Duration,
        app: AppRevision,
    ) -> Failed {
        let (now, detail) = (self.clock.now(), format!("status {}", answer.status));
        if may_be_at_work(kind, answer.status) {
            return Failed::at_work(retry, now, detail);
        }
        if may_have_worked(kind, answer.status) {
            return Failed::unknown(retry, now, detail);
        }
        match kind {
            RefusalKind::Dead => Failed::dead(code, detail),
            RefusalKind::App => {
                tracing::error!(
                    provider = claimed.connection.provider.as_str(),
                    "the provider does not accept the platform's app; PutOAuthApp stores its current id and secret"
                );
                Failed::app(AppFault::Refused, app, now, detail)
            }
            RefusalKind::Throttled => Failed::throttled(retry, now, detail),
            RefusalKind::Clock => {
                tracing::error!(
                    provider = claimed.connection.provider.as_str(),
                    "the provider finds the times in an assertion wrong; compare the vault's clock with a time server"
                );
                Failed::clock(retry, now, detail)
            }
            RefusalKind::Outage | RefusalKind::Busy => Failed::temporary(retry, now, detail),
            RefusalKind::Unknown => {
                let pause = wait(kind, answer.retry_after, self.pause(claimed.failures, REFUSED));
                Failed::refused(pause, code, now, detail)
            }
        }
    }

    /// The pause after a failure for which no other was wished: one, two, four seconds and so on.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        self.pause(failures, BACKOFF)
    }

    /// The pause after so many failures in a row: doubled with each, somewhere between half of that and all.
    fn pause(&self, failures: u32, (first, longest): (Duration, Duration)) -> Duration {
        let pause = first.saturating_mul(1 << failures.min(20)).min(longest);
        pause.mul_f64(jitter(&*self.random, 0.5..=1.0))
    }
}

/// Whether something that would not wait for the provider has answered: 524 is Cloudflare's, 598 and 599 are other proxies'.
fn may_be_at_work(kind: RefusalKind, status: u16) -> bool {
    matches!((kind, status), (RefusalKind::Outage, 408 | 504 | 524 | 598 | 599))
}

/// Whether the provider may have renewed: a success that cannot be read, and a gateway that has lost what stood behind it,
/// which is 520 at Cloudflare's.
fn may_have_worked(kind: RefusalKind, status: u16) -> bool {
    matches!(
        (kind, status),
        (RefusalKind::Unknown | RefusalKind::Outage, 200..300) | (RefusalKind::Outage, 502 | 520)
    )
}

/// How long to wait after a refusal: never less than our own pause, and as long as the provider asks for. One that wants
/// fewer calls knows best how long, down to the shortest pause.
pub(super) fn wait(kind: RefusalKind, asked: Option<Duration>, own: Duration) -> Duration {
    match kind {
        RefusalKind::Throttled => asked.unwrap_or(own).max(BACKOFF.0),
        _ => asked.unwrap_or_default().max(own),
    }
}

/// A refresh that gave nothing.
pub(super) struct Failed {
    pub(super) failure: RefreshFailure,
    pub(super) error: RefreshError,
    pub(super) detail: String,
}

impl Failed {
    /// Nothing was sent, or nothing came of it, and why the next attempt waits.
    pub(super) fn paused(pause: Pause, retry: Duration, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Temporary { retry_time: now.after(retry), pause };
        Self { failure, error: RefreshError::paused(pause, retry), detail }
    }

    pub(super) fn temporary(retry: Duration, now: Timestamp, detail: String) -> Self {
        Self::paused(Pause::Unavailable, retry, now, detail)
    }

    pub(super) fn throttled(retry: Duration, now: Timestamp, detail: String) -> Self {
        Self::paused(Pause::Throttled, retry, now, detail)
    }

    pub(super) fn app(fault: AppFault, revision: AppRevision, now: Timestamp, detail: String) -> Self {
        Self::paused(Pause::App { fault, revision }, APP_PAUSE, now, detail)
    }

    /// A stored value does not open: nothing was sent, and that is not tried again soon.
    pub(super) fn integrity(now: Timestamp, detail: String) -> Self {
        Self::paused(Pause::Broken, BROKEN_PAUSE, now, detail)
    }

    pub(super) fn clock(retry: Duration, now: Timestamp, detail: String) -> Self {
        Self::paused(Pause::Clock, retry, now, detail)
    }

    /// It was sent, and nobody knows what came of it.
    pub(super) fn unknown(retry: Duration, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Unknown { retry_time: now.after(retry), at_work: false };
        Self { failure, error: RefreshError::Unavailable { retry }, detail }
    }

    /// It was sent, and the provider may still be at it.
    pub(super) fn at_work(retry: Duration, now: Timestamp, detail: String) -> Self {
        let retry = retry.max(STILL_AT_IT);
        let failure = RefreshFailure::Unknown { retry_time: now.after(retry), at_work: true };
        Self { failure, error: RefreshError::Unavailable { retry }, detail }
    }

    pub(super) fn refused(pause: Duration, code: Option<String>, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Refused { retry_time: now.after(pause), code };
        Self { failure, error: RefreshError::Refused { retry: pause }, detail }
    }

    /// Nothing was sent, for there is no refresh token.
    pub(super) fn nothing(detail: String) -> Self {
        Self { failure: RefreshFailure::Nothing, error: RefreshError::Reauthorize, detail }
    }

    pub(super) fn dead(code: Option<String>, detail: String) -> Self {
        Self { failure: RefreshFailure::Dead { code }, error: RefreshError::Reauthorize, detail }
    }

    /// The reason in the record: the one that the caller is told.
    pub(super) fn reason(&self) -> Reason {
        match self.error {
            RefreshError::Reauthorize => Reason::ReauthorizationRequired,
            RefreshError::Throttled { .. } => Reason::ProviderRateLimited,
            RefreshError::Crowded { .. } => Reason::RateLimited,
            RefreshError::Incomplete | RefreshError::Nothing => Reason::StateInvalid,
            RefreshError::Uncatalogued => Reason::ProviderUnknown,
            RefreshError::Integrity => Reason::IntegrityFailure,
            RefreshError::Store => Reason::StoreUnavailable,
            RefreshError::Unavailable { .. }
            | RefreshError::Refused { .. }
            | RefreshError::App { .. }
            | RefreshError::Clock { .. } => Reason::ProviderUnavailable,
        }
    }

    pub(super) fn outcome(&self) -> &'static str {
        match (&self.failure, self.error) {
            (RefreshFailure::Dead { .. }, _) => "dead",
            (RefreshFailure::Nothing, _) => "nothing",
            (RefreshFailure::Unknown { .. }, _) => "unknown",
            (RefreshFailure::Refused { .. }, _) => "refused",
            (_, RefreshError::Throttled { .. }) => "throttled",
            (_, RefreshError::App { .. }) => "app",
            (_, RefreshError::Integrity) => "integrity",
            (_, RefreshError::Clock { .. }) => "clock",
            (_, RefreshError::Incomplete) => "incomplete",
            _ => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_wish_for_patience_bounds_the_pause_from_below_and_is_the_pause_where_calls_are_too_many() {
        let cases = [
            (RefusalKind::Outage, Some(0), 300, 300),
            (RefusalKind::Outage, Some(7), 300, 300),
            (RefusalKind::Outage, Some(900), 300, 900),
            (RefusalKind::Outage, None, 300, 300),
            (RefusalKind::Unknown, Some(1), 3600, 3600),
            (RefusalKind::Busy, Some(0), 2, 2),
            (RefusalKind::Throttled, Some(0), 300, 1),
            (RefusalKind::Throttled, Some(7), 300, 7),
            (RefusalKind::Throttled, None, 300, 300),
            (RefusalKind::Throttled, None, 0, 1),
        ];
        for (kind, asked, own, expected) in cases {
            let waits = wait(kind, asked.map(seconds), seconds(own));
            assert_eq!(waits, seconds(expected), "{kind:?}, {asked:?}, {own}");
        }
    }

    #[test]
    fn a_gateways_status_says_whether_the_provider_may_have_worked_or_still_be_at_it() {
        for status in [200, 204, 502, 520] {
            assert!(may_have_worked(RefusalKind::Outage, status), "{status}");
            assert!(!may_be_at_work(RefusalKind::Outage, status), "{status}");
        }
        for status in [408, 504, 524, 598, 599] {
            assert!(may_be_at_work(RefusalKind::Outage, status), "{status}");
        }
        for status in [301, 403, 404, 425, 500, 503, 521, 525, 530] {
            let open =
                may_have_worked(RefusalKind::Outage, status) || may_be_at_work(RefusalKind::Outage, status);
            assert!(!open, "{status}: it was not done");
        }
        // The provider's own words, whatever the status.
        for kind in [RefusalKind::Dead, RefusalKind::App, RefusalKind::Throttled, RefusalKind::Busy] {
            for status in 200..600 {
                assert!(!may_have_worked(kind, status) && !may_be_at_work(kind, status), "{kind:?} {status}");
            }
        }
    }

    #[test]
    fn what_is_recorded_blames_whom_the_caller_is_told_of() {
        let cases = [
            (Pause::Unavailable, Reason::ProviderUnavailable),
            (Pause::AtWork, Reason::ProviderUnavailable),
            (Pause::Throttled, Reason::ProviderRateLimited),
            (Pause::Crowded, Reason::RateLimited),
            (Pause::Vault, Reason::StoreUnavailable),
            (Pause::Uncatalogued, Reason::ProviderUnknown),
            (Pause::Refused, Reason::ProviderUnavailable),
            (Pause::Incomplete, Reason::StateInvalid),
            (Pause::Clock, Reason::ProviderUnavailable),
            (Pause::Broken, Reason::IntegrityFailure),
            (
                Pause::App { fault: AppFault::Missing, revision: AppRevision::NONE },
                Reason::ProviderUnavailable,
            ),
        ];
        for (pause, reason) in cases {
            let failed = Failed::paused(pause, seconds(1), Timestamp::default(), String::new());
            assert_eq!(failed.reason(), reason, "{pause:?}");
        }
    }
}
