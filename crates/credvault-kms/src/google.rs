//! Google Cloud, through Google's own SDK: how the vault logs in there, and the two services that it uses. Neither knows
//! the other.
//!
//! The SDK speaks HTTPS with JSON, finds credentials as every Google library does, and leaves TLS to the process's rustls
//! provider, which must be installed before the first use. Here each call is made once, without the SDK's retries: the
//! caller has the time-out and the budget.

mod access;

mod answer;

mod checksum;

mod kms;

mod secrets;

pub use kms::{GoogleKms, GoogleKmsSettings};
pub use secrets::{GoogleSecrets, GoogleSecretsSettings};
