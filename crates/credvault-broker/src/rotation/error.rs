//! Why a credential was not replaced at its provider. The texts are for callers: each says what to do.

use std::time::Duration;

use credvault_catalog::Missing;
use credvault_domain::Reason;

/// Why a credential was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The provider has no call that makes another key.
    #[error(
        "{provider} has no call that makes another key, so a person has to: make one there{places}, store it with \
         PutCredential and verify = true, and delete the old one there once no caller uses it any more"
    )]
    ByHand {
        /// The provider's own name.
        provider: String,
        /// Where the key is made, in parentheses; empty if that is not known.
        places: String,
    },
    /// A value is missing that the call needs.
    #[error(
        "{0} must be set before the vault can replace this credential; UpdateConnection, or PutCredential with config, \
         stores it"
    )]
    Incomplete(Missing),
    /// The settings name another account than the credential's own.
    #[error(
        "the settings name the account for which another key is made, and the provider's test does not report that one for \
         this credential; nothing has changed. UpdateConnection, or PutCredential with config, corrects them"
    )]
    OtherAccount {
        /// How long the vault waits before it tries again by itself.
        retry: Duration,
    },
    /// Another connection has the same key, and the account has room for one other key only.
    #[error(
        "another connection of the same owner has the same key, and this account can have one other key at a time, which \
         would not reach that connection; nothing has changed. DisconnectConnection all but one of them, and rotate that one"
    )]
    Shared {
        /// How long the vault waits before it tries again by itself.
        retry: Duration,
    },
    /// The provider does not answer, and has made no key.
    #[error(
        "the provider makes no key at the moment; nothing has changed, so try again after the retry delay"
    )]
    Unavailable {
        /// How long to wait.
        retry: Duration,
    },
    /// The provider asks for fewer calls.
    #[error("the provider asks for fewer calls; nothing has changed, so try again after the retry delay")]
    Throttled {
        /// How long to wait.
        retry: Duration,
    },
    /// The vault makes as many calls to the provider as it may.
    #[error(
        "other calls to this provider were before it; nothing has changed, so try again after the retry delay"
    )]
    Crowded {
        /// How long to wait.
        retry: Duration,
    },
    /// The request was sent, and its answer was lost.
    #[error(
        "the provider's answer was lost, so a key that the vault does not know may be left there: look for one that was made \
         just now, and delete it. The credential before serves on. Where the provider ends that one because another one was \
         made, the vault makes a further one by itself if it still can; else store one that a person has made"
    )]
    Lost {
        /// How long to wait.
        retry: Duration,
    },
    /// The provider refuses to make a key with this credential.
    #[error(
        "the provider answers {status} and makes no key with this credential: it may not have the permission for that. \
         Nothing has changed; make the key by hand, or give the credential that permission"
    )]
    Refused {
        /// The HTTP status of the answer.
        status: u16,
        /// How long the vault waits before it tries again by itself.
        retry: Duration,
    },
    /// The new key does not work.
    #[error(
        "the provider made a key and does not accept it; the vault revokes it, and the credential before serves on. Try \
         again, or make the key by hand"
    )]
    Useless {
        /// How long the vault waits before it tries again by itself.
        retry: Duration,
    },
    /// It is not known yet whether the new key works.
    #[error(
        "the provider made a key and does not say yet whether it works; the vault keeps it, tests it again by itself and \
         serves it then. The credential before serves until then"
    )]
    Untested {
        /// How long to wait.
        retry: Duration,
    },
    /// The vault's own database failed.
    #[error(transparent)]
    Store(#[from] credvault_store::Error),
}

impl RotationError {
    /// The reason in records and on the connection. `None` for a failure of the vault's own database.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::ByHand { .. } => Some(Reason::RotationByHand),
            Self::Incomplete(_) | Self::OtherAccount { .. } | Self::Shared { .. } => {
                Some(Reason::StateInvalid)
            }
            Self::Unavailable { .. } | Self::Lost { .. } | Self::Untested { .. } => {
                Some(Reason::ProviderUnavailable)
            }
            Self::Throttled { .. } => Some(Reason::ProviderRateLimited),
            Self::Crowded { .. } => Some(Reason::RateLimited),
            Self::Refused { .. } | Self::Useless { .. } => Some(Reason::RotationRefused),
            Self::Store(_) => None,
        }
    }

    /// After how long another attempt makes sense.
    pub fn retry(&self) -> Option<Duration> {
        match self {
            Self::OtherAccount { retry }
            | Self::Shared { retry }
            | Self::Unavailable { retry }
            | Self::Throttled { retry }
            | Self::Crowded { retry }
            | Self::Lost { retry }
            | Self::Refused { retry, .. }
            | Self::Useless { retry }
            | Self::Untested { retry } => Some(*retry),
            Self::ByHand { .. } | Self::Incomplete(_) | Self::Store(_) => None,
        }
    }

    /// Whether a key was made, or may have been, that does not serve.
    pub fn is_in_vain(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Useless { .. })
    }

    /// Whether it does not pass by itself, so that trying again and again does not help.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::ByHand { .. }
            | Self::Incomplete(_)
            | Self::OtherAccount { .. }
            | Self::Shared { .. }
            | Self::Lost { .. }
            | Self::Refused { .. }
            | Self::Useless { .. } => true,
            Self::Unavailable { .. }
            | Self::Throttled { .. }
            | Self::Crowded { .. }
            | Self::Untested { .. }
            | Self::Store(_) => false,
        }
    }

    /// The label of the metric `credvault_credential_rotations_total`.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::ByHand { .. } => "by_hand",
            Self::Incomplete(_) => "incomplete",
            Self::OtherAccount { .. } => "other_account",
            Self::Shared { .. } => "shared",
            Self::Unavailable { .. } => "unavailable",
            Self::Throttled { .. } => "throttled",
            Self::Crowded { .. } => "crowded",
            Self::Lost { .. } => "lost",
            Self::Refused { .. } => "refused",
            Self::Useless { .. } => "useless",
            Self::Untested { .. } => "untested",
            Self::Store(_) => "store",
        }
    }
}
