//! Why a refresh has brought no new tokens.

use credvault_domain::Timestamp;

use crate::refreshes::pause::Pause;

/// Why there are no new tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RefreshFailure {
    /// The provider was not reached, or refused for reasons of its own.
    Temporary {
        /// When another attempt makes sense.
        retry_time: Timestamp,
        /// The reason of the pause.
        pause: Pause,
    },
    /// The provider has answered that it cannot serve at the moment.
    Outage {
        /// When another attempt makes sense.
        retry_time: Timestamp,
        /// The status of its answer.
        status: u16,
    },
    /// The request was sent and its outcome is not known.
    Uncertain {
        /// When another attempt makes sense, if the provider's rule allows one.
        retry_time: Timestamp,
        /// Whether the provider may still be at the request until then.
        at_work: bool,
    },
    /// The provider has refused, in words that its file does not know.
    Refused {
        /// When another attempt makes sense.
        retry_time: Timestamp,
        /// The provider's own code, if it is a plain word.
        code: Option<String>,
    },
    /// There is no refresh token, so nothing was sent.
    Nothing,
    /// The provider itself has said that only a new consent helps.
    Dead {
        /// The provider's own code, if it is a plain word.
        code: Option<String>,
    },
}

impl RefreshFailure {
    /// The provider's own code of a refusal.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } | Self::Dead { code } => code.as_deref(),
            Self::Temporary { .. } | Self::Outage { .. } | Self::Uncertain { .. } | Self::Nothing => None,
        }
    }

    /// Why the next attempt waits, if there is to be one.
    pub(super) fn pause(&self) -> Option<Pause> {
        match self {
            Self::Temporary { pause, .. } => Some(*pause),
            Self::Uncertain { at_work: true, .. } => Some(Pause::AtWork),
            Self::Outage { .. } | Self::Uncertain { at_work: false, .. } => Some(Pause::Unavailable),
            Self::Refused { .. } => Some(Pause::Refused),
            Self::Dead { .. } | Self::Nothing => None,
        }
    }

    /// The status of an answer that is no refusal.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Outage { status, .. } => Some(*status),
            Self::Temporary { .. }
            | Self::Uncertain { .. }
            | Self::Refused { .. }
            | Self::Nothing
            | Self::Dead { .. } => None,
        }
    }
}
