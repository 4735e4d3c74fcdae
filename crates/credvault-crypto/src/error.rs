//! What can go wrong with keys and sealed bytes.

use std::path::PathBuf;

/// An error of this crate. None of them carries key material or plaintext.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A sealed value does not open: altered, moved, truncated, or sealed under another key. Which of these it was is
    /// not said, so that nobody can probe for it.
    #[error("a sealed value does not open: it was altered, moved or truncated, or its key is another one")]
    Integrity,
    /// The plaintext is larger than an envelope may hold.
    #[error("the value is too large to seal")]
    TooLarge,
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Random(#[from] credvault_domain::Exhausted),
    /// The root key file cannot be read.
    #[error("the root key file {path} cannot be read: {source}")]
    RootKeyFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The root key file may be read or written by others.
    #[error(
        "the root key file {path} has mode {mode:03o}: nobody but its owner may write it and nobody outside its group \
         may read it; run `chmod 600 {path}`"
    )]
    RootKeyMode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The root key is not 32 bytes in base64 or hexadecimal.
    #[error(
        "the root key ({origin}) is not 32 bytes in base64 or hexadecimal; make one with `openssl rand -base64 32`"
    )]
    RootKeyFormat {
        /// Where it came from.
        origin: String,
    },
    /// The root key is one byte, repeated.
    #[error(
        "the root key ({origin}) is one byte 32 times, such as zeroes; make one with `openssl rand -base64 32`"
    )]
    RootKeyTrivial {
        /// Where it came from.
        origin: String,
    },
    /// The environment variable of the root key is not set.
    #[error("the root key's environment variable {0} is not set")]
    RootKeyVariable(String),
    /// The root key is not the one that the database was made with.
    #[error(
        "this root key is not the one that the database was made with; nothing was written. Configure the original \
         root key, or point at the database that belongs to this one"
    )]
    RootKeyMismatch,
    /// The passphrase is too short.
    #[error("the passphrase must have at least 16 characters")]
    PassphraseTooShort,
    /// Stored derivation parameters are outside of what we accept.
    #[error("the stored key derivation parameters are malformed or out of bounds")]
    KdfParameters,
}
