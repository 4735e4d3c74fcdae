//! What came of an attempt that gave nothing.

use std::time::Duration;

use credvault_catalog::RefusalKind;
use credvault_domain::{Reason, Timestamp};
use credvault_store::{AppFault, AppRevision, Claimed, Pause, RefreshFailure};

use super::request::fraction;
use super::{Inner, RefreshError};
use crate::http::Answer;

/// The pauses after failures: the first, doubled each time, at most the second.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// The same after refusals that the vault does not understand: to repeat them seldom helps.
const REFUSED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// How long a provider may still be at a request that it has not answered. Nothing is repeated earlier.
pub(super) const STILL_AT_IT: Duration = Duration::from_secs(60);
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
        // A success that cannot be read, and a gateway that lost what stood behind it: the provider may have renewed. A
        // gateway that would not wait for it says that it may still be at it.
        match (kind, answer.status) {
            (RefusalKind::Unknown | RefusalKind::Outage, 200..300) | (RefusalKind::Outage, 502) => {
                return Failed::unknown(retry, now, detail);
            }
            (RefusalKind::Outage, 504) => return Failed::unknown(retry.max(STILL_AT_IT), now, detail),
            _ => {}
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
                let pause = answer.retry_after.unwrap_or_else(|| self.pause(claimed.failures, REFUSED));
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
        pause.mul_f64(0.5 + 0.5 * fraction(&*self.random))
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

    pub(super) fn unknown(retry: Duration, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Unknown { retry_time: now.after(retry) };
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

    pub(super) fn reason(&self) -> Reason {
        match self.error {
            RefreshError::Reauthorize => Reason::ReauthorizationRequired,
            RefreshError::Throttled { .. } => Reason::ProviderRateLimited,
            RefreshError::Integrity => Reason::IntegrityFailure,
            _ => Reason::ProviderUnavailable,
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
