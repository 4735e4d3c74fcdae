//! AWS: how the vault logs in there, and the two services that it uses. Neither knows the other.
//!
//! Credentials come from AWS's usual chain: environment, profile, web identity, container, instance. What the SDK logs is
//! switched off: at its most detailed level it would show what it has decrypted if the environment has
//! `LOG_SENSITIVE_BODIES`.

mod access;

mod refusal;

mod kms;

mod secrets;

pub use kms::{AwsKms, AwsKmsSettings};
pub use secrets::{AwsSecrets, AwsSecretsSettings};
