//! Further attempts at a call that has failed where another one may help. Only for calls that may be repeated: the vault
//! recognises what it has done already, or does it once more without harm.

use std::error::Error as _;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How often a call is made.
const ATTEMPTS: u32 = 8;
/// The first pause before another attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest pause before another attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest wait for a rate of the vault. What is longer is asked again meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What follows a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// The pause is over: the call is made again.
    Again,
    /// That was the last attempt.
    Over,
    /// No further attempt helps.
    Refused,
}

/// The attempts at one call.
#[derive(Debug)]
pub(super) struct Attempts {
    failed: u32,
    waits: bool,
}

impl Attempts {
    /// Eight attempts, whatever the failure.
    pub(super) fn few() -> Self {
        Self { failed: 0, waits: false }
    }

    /// The same, but a refusal by a rate is no failure: the vault has said when it has room again, and the caller waits.
    pub(super) fn waiting_for_rates() -> Self {
        Self { failed: 0, waits: true }
    }

    /// Waits before the next attempt, if there is one, and says what follows.
    pub(super) async fn after(&mut self, status: &Status) -> Next {
        match self.pause(status) {
            Ok(pause) => {
                tokio::time::sleep(pause).await;
                Next::Again
            }
            Err(end) => end,
        }
    }

    /// The pause before the next attempt, or why there is none.
    fn pause(&mut self, status: &Status) -> Result<Duration, Next> {
        if !passes(status) {
            return Err(Next::Refused);
        }
        let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
        if let Some(wait) = told.filter(|_| self.waits && status.code() == Code::ResourceExhausted) {
            return Ok(wait.min(LONGEST_WAIT));
        }
        self.failed += 1;
        if self.failed >= ATTEMPTS {
            return Err(Next::Over);
        }
        let pause = PAUSE.saturating_mul(1 << (self.failed - 1));
        Ok(told.unwrap_or(pause).min(LONGEST_PAUSE))
    }
}

/// Whether another attempt may help. A status with a source was made on this side, where the connection broke; the vault's
/// own have none.
pub(super) fn passes(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable
        | Code::ResourceExhausted
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Cancelled => true,
        Code::Unknown | Code::Internal => status.source().is_some(),
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_broken_connection_passes_and_a_fault_of_the_vault_does_not() {
        let broken = Status::from_error(Box::new(std::io::Error::other("the connection broke")));
        assert_eq!(broken.code(), Code::Unknown);
        assert!(passes(&broken) && passes(&Status::cancelled("")) && passes(&Status::unavailable("")));
        assert!(!passes(&Status::unknown("")) && !passes(&Status::internal("")));
    }

    #[test]
    fn an_outage_ends_the_attempts_and_a_rate_does_not() {
        let mut attempts = Attempts::waiting_for_rates();
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(50)));
        let rate = Status::with_error_details(Code::ResourceExhausted, "slower", details);
        for _ in 0..20 {
            assert_eq!(attempts.pause(&rate), Ok(Duration::from_secs(50)));
        }
        let away = Status::unavailable("the vault is away");
        let pauses: Vec<_> = (1..ATTEMPTS).map(|_| attempts.pause(&away).expect("another")).collect();
        assert_eq!((pauses[0], pauses[6]), (PAUSE, LONGEST_PAUSE));
        assert_eq!(attempts.pause(&away), Err(Next::Over));
        assert_eq!(attempts.pause(&Status::permission_denied("no")), Err(Next::Refused));
        // An import waits for a rate as often as for anything else.
        let mut few = Attempts::few();
        assert!((1..ATTEMPTS).all(|_| few.pause(&rate) == Ok(LONGEST_PAUSE)));
        assert_eq!(few.pause(&rate), Err(Next::Over));
    }
}
