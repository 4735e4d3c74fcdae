//! Why the provider has not said whether a credential works. The texts are for callers: each says what to do.

use std::time::Duration;

use credvault_domain::Violations;

/// How long to wait if a provider that asks for fewer calls does not say for how long.
pub(crate) const DEFAULT_RETRY: Duration = Duration::from_secs(10);

/// Why it is not known whether a credential works.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The catalog does not say how credentials of this mode are tested.
    #[error("the provider's catalog file has no test for this auth mode")]
    Untestable,
    /// A setting is missing that the request needs.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The provider does not answer, or its answer does not say it.
    #[error("the provider does not say whether the credential works; try again")]
    Unavailable,
    /// The provider asks for fewer calls.
    #[error("the provider asks for fewer calls; try again after the retry delay")]
    Throttled {
        /// How long to wait.
        retry: Duration,
    },
    /// The vault's own database failed.
    #[error(transparent)]
    Store(#[from] credvault_store::Error),
}
