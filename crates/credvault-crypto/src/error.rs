//! The errors of keys and sealed bytes. None of them repeats key material, a passphrase or plaintext.

use std::path::PathBuf;

use crate::KeyManagerError;

/// An error of this crate, without key material or plaintext.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A sealed value does not open: altered, moved, truncated, or sealed under another key. The error does not tell
    /// which, so that an attacker cannot probe for it.
    #[error("a sealed value does not open: it was altered, moved or truncated, or sealed under another key")]
    Integrity,
    /// The plaintext is larger than an envelope may hold.
    #[error("the value is too large to seal")]
    TooLarge,
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Random(#[from] credvault_domain::Exhausted),
    /// The root key file cannot be read, or others may read or write it.
    #[error("the root key file {path} cannot be read: {source}")]
    RootKeyFile {
        /// The configured path of the file.
        path: PathBuf,
        /// The operating system's error on reading.
        source: std::io::Error,
    },
    /// The root key is not 32 bytes in base64 or hexadecimal.
    #[error(
        "the root key ({origin}) is not 32 bytes in base64 or hexadecimal; make one with `openssl rand -base64 32`"
    )]
    RootKeyFormat {
        /// The file or environment variable that it came from.
        origin: String,
    },
    /// The root key is one byte, repeated.
    #[error(
        "the root key ({origin}) repeats one byte 32 times, such as zeroes; make one with `openssl rand -base64 32`"
    )]
    RootKeyTrivial {
        /// The file or environment variable that it came from.
        origin: String,
    },
    /// The environment variable of the root key is not set.
    #[error("the root key's environment variable {0} is not set")]
    RootKeyVariable(String),
    /// The database's keys are under another root key.
    #[error(
        "the database's keys are under another root key; nothing was written. Configure that one, or the database \
         that belongs to this one"
    )]
    RootKeyMismatch,
    /// A key manager does not do what it is asked for.
    #[error("the root key ({key}) cannot be used now: {source}")]
    KeyManager {
        /// The kind of key manager, and the name of the key in it.
        key: String,
        /// What it answered, or that it did not answer.
        source: KeyManagerError,
    },
    /// A tenant key is wrapped by a root key that the process was not given.
    #[error(
        "the tenant's key is wrapped by the root key {id:08x} ({kind}), which this vault is not configured with; add it \
         as other_root_key"
    )]
    RootKeyMissing {
        /// The id of the root key.
        id: u32,
        /// The kind of source that it came from.
        kind: String,
    },
    /// The passphrase has fewer than 16 characters.
    #[error("the passphrase must have at least 16 characters")]
    PassphraseTooShort,
    /// Stored derivation parameters are malformed, or outside the accepted bounds.
    #[error("the stored key derivation parameters are malformed or out of bounds")]
    KdfParameters,
}

impl Error {
    /// Whether a key manager has answered that it does not do this for the vault, until an operator mends its settings, its key
    /// or the vault's permissions.
    pub fn is_refusal(&self) -> bool {
        let Self::KeyManager { source, .. } = self else { return false };
        matches!(source, KeyManagerError::Settings(_) | KeyManagerError::Denied(_) | KeyManagerError::Key(_))
    }
}
