//! Why there is no answer to a request. The texts are for operators and name no secret and no URL.

use crate::deadlines::ANSWER_TIMEOUT;

/// Why there is no answer. The variant decides whether the request may be sent again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// The request certainly did not reach the provider.
    #[error("the provider was not reached: {0}")]
    NotSent(String),
    /// The request may have reached the provider.
    #[error("the provider's answer was lost: {0}")]
    Lost(String),
}

/// Why there is no answer to a request that must not be sent twice.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum SendOnceError {
    /// The request was not sent, or the connection ended without an answer.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The request was sent, and the provider may still be working on it.
    #[error("the provider had not answered after {} seconds", ANSWER_TIMEOUT.as_secs())]
    Silent,
}
