//! Why a caller gets no fresh token. The texts are for callers: each says what to do.

use std::time::Duration;

use credvault_store::{AppFault, Error, Pause};

/// Why there is no fresh token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RefreshError {
    /// Only a new consent of the account's owner helps.
    #[error(
        "the provider no longer accepts this connection; its owner must consent again (BeginAuthorization) or give new keys \
         (PutCredential)"
    )]
    Reauthorize,
    /// The provider does not answer, or its answer was lost.
    #[error(
        "the provider does not answer, or not properly (last_error of the connection says how); try again after the retry delay"
    )]
    Unavailable {
        /// How long to wait.
        retry: Duration,
    },
    /// The provider has answered that it cannot serve at the moment.
    #[error("the provider answers with status {status}; try again after the retry delay")]
    Answered {
        /// How long to wait.
        retry: Duration,
        /// The status of its answer.
        status: u16,
    },
    /// The provider refuses the grant while it has an incident, which may be the only reason.
    #[error(
        "the provider has an incident at the moment and refuses this connection, too; the vault asks again, and believes the \
         provider when the incident is over; try again after the retry delay"
    )]
    Incident {
        /// How long to wait.
        retry: Duration,
    },
    /// The provider refuses, with a code that its catalog file does not know.
    #[error(
        "the provider refuses to refresh the access token, with an error that the vault does not know; the vault tries again, \
         and if the provider keeps refusing, the owner must consent again (BeginAuthorization)"
    )]
    Refused {
        /// How long to wait.
        retry: Duration,
    },
    /// The provider asks for fewer calls.
    #[error("the provider asks for fewer calls; try again after the retry delay")]
    Throttled {
        /// How long to wait.
        retry: Duration,
    },
    /// The vault makes as many calls to the provider as it may.
    #[error(
        "the vault has used up its calls to this provider (broker.refreshes_per_second), so it did not send this one; try \
         again after the retry delay"
    )]
    Crowded {
        /// How long to wait.
        retry: Duration,
    },
    /// The connection lacks a setting or key that its owner has to give.
    #[error(
        "the refresh needs a setting or key of the connection that is missing or cannot be used; set it with UpdateConnection \
         or PutCredential"
    )]
    Incomplete,
    /// The app at the provider is at fault.
    #[error("{}", app_advice(*fault))]
    App {
        /// What is wrong with it.
        fault: AppFault,
        /// How long to wait, unless the app is stored again before that.
        retry: Duration,
    },
    /// The provider rejects the times in a signed assertion.
    #[error(
        "the provider rejects the vault's time; an operator must synchronize the clock with a time server"
    )]
    Clock {
        /// How long to wait.
        retry: Duration,
    },
    /// The connection has no tokens that can be refreshed.
    #[error(
        "this connection has nothing to refresh: it is disabled, has no credential, or has one that cannot be refreshed; \
         replace the credential with PutCredential or BeginAuthorization"
    )]
    Nothing,
    /// The catalog does not say how the tokens are refreshed.
    #[error(
        "the vault's catalog does not say how to refresh this connection's tokens; an operator must restore the provider's \
         catalog file"
    )]
    Uncatalogued,
    /// A stored value does not open.
    #[error(
        "a stored value does not decrypt: it was altered outside of the vault. To replace it, call PutCredential with \
         config for a connection, or delete and put the app (PutOAuthApp)"
    )]
    Integrity,
    /// The vault's own database, a secret store or keys failed.
    #[error(
        "the vault could not refresh the connection's tokens, because its database, a secret store or a key \
         failed; try again"
    )]
    Store,
}

impl RefreshError {
    /// The error of an attempt that must wait, by the reason for its pause.
    pub(super) fn of_pause(pause: Pause, retry: Duration) -> Self {
        match pause {
            Pause::Unavailable | Pause::AtWork => Self::Unavailable { retry },
            Pause::Throttled => Self::Throttled { retry },
            Pause::Crowded => Self::Crowded { retry },
            Pause::Vault => Self::Store,
            Pause::Uncatalogued => Self::Uncatalogued,
            Pause::Refused => Self::Refused { retry },
            Pause::Incomplete => Self::Incomplete,
            Pause::Clock => Self::Clock { retry },
            Pause::Broken => Self::Integrity,
            Pause::App { fault, .. } => Self::App { fault, retry },
        }
    }

    /// The error that the vault's own database, or a secret store, has caused. It is logged here.
    pub(super) fn of_store(error: &Error) -> Self {
        if error.is_damage() {
            return Self::Integrity;
        }
        tracing::warn!(%error, "the vault's own database, or a secret store, failed during a refresh");
        Self::Store
    }
}

fn app_advice(fault: AppFault) -> &'static str {
    match fault {
        AppFault::Refused => {
            "the provider does not accept the platform's app; PutOAuthApp stores its current id and secret"
        }
        AppFault::Missing => {
            "the platform's app at this provider is missing or incomplete, so nothing was sent; PutOAuthApp stores it"
        }
        AppFault::Other => {
            "the tokens were issued to another app than the stored one; store that app again with PutOAuthApp, or have the \
             owner consent again (BeginAuthorization)"
        }
    }
}
