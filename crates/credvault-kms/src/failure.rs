//! How a call to a system outside can fail, whatever it is asked for: what the clients of OpenBao, AWS and Google say
//! before a key manager or a store of secrets adds its own meaning. No text holds a secret.

use credvault_crypto::{KeyManagerError, SecretStoreError};

/// A failure that is the same for key managers and for stores of secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(
    not(all(feature = "aws", feature = "google", feature = "transit")),
    allow(dead_code, reason = "not every client fails in each of these ways")
)]
pub(crate) enum Failure {
    /// The settings of the vault are wrong, or name a file that cannot be used.
    Settings(String),
    /// There is no answer in time, or one that says that the system cannot serve now.
    Unavailable(String),
    /// The system refused the vault's credentials.
    Denied(String),
    /// The answer has more than this number of bytes.
    Large(usize),
}

impl From<Failure> for KeyManagerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Settings(text) => Self::Settings(text),
            Failure::Unavailable(text) => Self::Unavailable(text),
            Failure::Denied(text) => Self::Denied(text),
            Failure::Large(bytes) => Self::Unavailable(large(bytes)),
        }
    }
}

impl From<Failure> for SecretStoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Settings(text) => Self::Settings(text),
            Failure::Unavailable(text) => Self::Unavailable(text),
            Failure::Denied(text) => Self::Denied(text),
            Failure::Large(bytes) => Self::Unusable(large(bytes)),
        }
    }
}

fn large(bytes: usize) -> String {
    format!("its answer is larger than {} KiB", bytes / 1024)
}
