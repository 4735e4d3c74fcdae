//! The failure of an attempt in three forms: for the database, for the caller, and for log and metric. They must agree, so
//! they are made together.

use std::time::Duration;

use credvault_domain::{Reason, Timestamp};
use credvault_store::{AppFault, AppRevision, Pause, RefreshFailure};

use super::backoff::{APP_PAUSE, INTEGRITY_PAUSE, MIN_PAUSE_AT_WORK};
use super::error::RefreshError;

/// An attempt that gave no tokens.
#[derive(Debug)]
pub(super) struct Failed {
    /// What the database stores.
    pub(super) failure: RefreshFailure,
    /// What the caller is answered.
    pub(super) error: RefreshError,
    /// What the log says beside it, without secrets.
    pub(super) detail: String,
}

impl Failed {
    /// Nothing was sent, or nothing came of it; the next attempt waits because of `pause`.
    pub(super) fn paused(pause: Pause, retry: Duration, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Temporary { retry_time: now.after(retry), pause };
        Self { failure, error: RefreshError::of_pause(pause, retry), detail }
    }

    /// The provider does not answer, or is not asked.
    pub(super) fn temporary(retry: Duration, now: Timestamp, detail: String) -> Self {
        Self::paused(Pause::Unavailable, retry, now, detail)
    }

    /// The provider answers that it cannot serve at the moment.
    pub(super) fn answered(retry: Duration, status: u16, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Outage { retry_time: now.after(retry), status };
        Self { failure, error: RefreshError::Answered { retry, status }, detail }
    }

    /// The provider asks for fewer calls.
    pub(super) fn throttled(retry: Duration, now: Timestamp, detail: String) -> Self {
        Self::paused(Pause::Throttled, retry, now, detail)
    }

    /// The app is at fault, and another app ends the pause.
    pub(super) fn app(fault: AppFault, revision: AppRevision, now: Timestamp, detail: String) -> Self {
        Self::paused(Pause::App { fault, revision }, APP_PAUSE, now, detail)
    }

    /// A stored value does not open. Nothing was sent, and the next attempt is not soon.
    pub(super) fn integrity(now: Timestamp, detail: String) -> Self {
        Self::paused(Pause::Broken, INTEGRITY_PAUSE, now, detail)
    }

    /// The provider rejects the times in an assertion.
    pub(super) fn clock(retry: Duration, now: Timestamp, detail: String) -> Self {
        Self::paused(Pause::Clock, retry, now, detail)
    }

    /// The request was sent and its outcome is not known.
    pub(super) fn uncertain(retry: Duration, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Uncertain { retry_time: now.after(retry), at_work: false };
        Self { failure, error: RefreshError::Unavailable { retry }, detail }
    }

    /// The request was sent, and the provider may still be working on it.
    pub(super) fn at_work(retry: Duration, now: Timestamp, detail: String) -> Self {
        let retry = retry.max(MIN_PAUSE_AT_WORK);
        let failure = RefreshFailure::Uncertain { retry_time: now.after(retry), at_work: true };
        Self { failure, error: RefreshError::Unavailable { retry }, detail }
    }

    /// The provider refuses, with a code that its catalog file does not know.
    pub(super) fn refused(retry: Duration, code: Option<String>, now: Timestamp, detail: String) -> Self {
        let failure = RefreshFailure::Refused { retry_time: now.after(retry), code };
        Self { failure, error: RefreshError::Refused { retry }, detail }
    }

    /// There is no refresh token, so nothing was sent.
    pub(super) fn nothing(detail: String) -> Self {
        Self { failure: RefreshFailure::Nothing, error: RefreshError::Reauthorize, detail }
    }

    /// The provider has said that only a new consent helps.
    pub(super) fn dead(code: Option<String>, detail: String) -> Self {
        Self { failure: RefreshFailure::Dead { code }, error: RefreshError::Reauthorize, detail }
    }

    /// The provider has said so while it has an incident. That is believed if it says so after the incident, too.
    pub(super) fn held(retry: Duration, now: Timestamp, detail: String) -> Self {
        Self { error: RefreshError::Incident { retry }, ..Self::temporary(retry, now, detail) }
    }

    /// The reason in the audit record: the same that the caller is answered.
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
            | RefreshError::Answered { .. }
            | RefreshError::Incident { .. }
            | RefreshError::Refused { .. }
            | RefreshError::App { .. }
            | RefreshError::Clock { .. } => Reason::ProviderUnavailable,
        }
    }

    /// The label of the metric `credvault_refreshes_total`.
    pub(super) fn outcome(&self) -> &'static str {
        match (&self.failure, self.error) {
            (RefreshFailure::Dead { .. }, _) => "dead",
            (RefreshFailure::Nothing, _) => "nothing",
            (RefreshFailure::Uncertain { .. }, _) => "uncertain",
            (RefreshFailure::Refused { .. }, _) => "refused",
            (_, RefreshError::Throttled { .. }) => "throttled",
            (_, RefreshError::App { .. }) => "app",
            (_, RefreshError::Integrity) => "integrity",
            (_, RefreshError::Clock { .. }) => "clock",
            (_, RefreshError::Incomplete) => "incomplete",
            _ => "temporary",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_has_the_reason_that_the_caller_is_answered() {
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
            let retry = Duration::from_secs(1);
            let failed = Failed::paused(pause, retry, Timestamp::default(), String::new());
            assert_eq!(failed.reason(), reason, "{pause:?}");
        }
    }
}
