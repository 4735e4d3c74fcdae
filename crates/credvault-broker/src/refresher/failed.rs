//! What came of an attempt that gave nothing.

use std::time::Duration;

use credvault_catalog::RefusalKind;
use credvault_domain::{Reason, Timestamp};
use credvault_store::{Claimed, RefreshFailure};

use super::request::fraction;
use super::{Inner, RefreshError};
use crate::http::Answer;

/// The pauses after failures: the first, doubled each time, at most the second.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// The pause after the provider refused the app itself, which somebody has to mend first.
pub(super) const APP_PAUSE: Duration = Duration::from_secs(300);
/// How long other connections of an app that the provider has refused wait.
pub(super) const APP_REST: Duration = Duration::from_secs(30);

impl Inner {
    pub(super) fn refused(
        &self,
        claimed: &Claimed,
        kind: RefusalKind,
        answer: &Answer,
        retry: Duration,
    ) -> Failed {
        let (now, detail) = (self.clock.now(), format!("status {}", answer.status));
        // A success that cannot be read, and a gateway that lost what stood behind it: the provider may have renewed.
        if matches!(
            (kind, answer.status),
            (RefusalKind::Unknown | RefusalKind::Outage, 200..300) | (RefusalKind::Outage, 502 | 504)
        ) {
            return Failed::unknown(retry, now, detail);
        }
        match kind {
            RefusalKind::Dead => Failed::dead(detail),
            RefusalKind::App => {
                tracing::error!(
                    provider = claimed.connection.provider.as_str(),
                    "the provider does not accept the platform's app; PutOAuthApp stores its current id and secret"
                );
                Failed::app(APP_PAUSE, now, detail)
            }
            RefusalKind::Throttled => Failed::throttled(retry, now, detail),
            RefusalKind::Outage | RefusalKind::Busy | RefusalKind::Unknown => {
                Failed::temporary(retry, now, detail)
            }
        }
    }

    /// One, two, four seconds and so on, each somewhere between half of that and all.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        let longest = BACKOFF.0.saturating_mul(1 << failures.min(10)).min(BACKOFF.1);
        longest.mul_f64(0.5 + 0.5 * fraction(&*self.random))
    }
}

/// A refresh that gave nothing.
pub(super) struct Failed {
    pub(super) failure: RefreshFailure,
    pub(super) error: RefreshError,
    pub(super) detail: String,
}

impl Failed {
    pub(super) fn temporary(retry: Duration, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Temporary { retry_time: now.after(retry) };
        Self { failure, error: RefreshError::Unavailable { retry }, detail }
    }

    pub(super) fn throttled(retry: Duration, now: Timestamp, detail: String) -> Self {
        Self { error: RefreshError::Throttled { retry }, ..Self::temporary(retry, now, detail) }
    }

    pub(super) fn app(retry: Duration, now: Timestamp, detail: String) -> Self {
        Self { error: RefreshError::App, ..Self::temporary(retry, now, detail) }
    }

    pub(super) fn unknown(retry: Duration, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Unknown { retry_time: now.after(retry) };
        Self { failure, error: RefreshError::Unavailable { retry }, detail }
    }

    pub(super) fn dead(detail: String) -> Self {
        Self { failure: RefreshFailure::Dead, error: RefreshError::Reauthorize, detail }
    }

    pub(super) fn reason(&self) -> Reason {
        match self.error {
            RefreshError::Reauthorize => Reason::ReauthorizationRequired,
            RefreshError::Throttled { .. } => Reason::ProviderRateLimited,
            _ => Reason::ProviderUnavailable,
        }
    }

    pub(super) fn outcome(&self) -> &'static str {
        match (self.failure, self.error) {
            (RefreshFailure::Dead, _) => "dead",
            (RefreshFailure::Unknown { .. }, _) => "unknown",
            (_, RefreshError::Throttled { .. }) => "throttled",
            (_, RefreshError::App) => "app",
            _ => "failed",
        }
    }
}
