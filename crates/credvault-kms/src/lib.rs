//! Systems outside of the process that the vault trusts with its own secrets: key managers, which hold the root key and
//! wrap tenant keys with it, and stores of secrets, which keep sealed payloads outside of the database. This crate holds
//! the implementations of [`credvault_crypto::KeyManager`] and [`credvault_crypto::SecretStore`], fences in the SDKs that
//! they need, and knows no database and no wire of ours.
//!
//! None of them logs, or puts into an error, what it wraps or keeps or the credentials that it authenticates with. Texts of
//! errors are of this crate: what a server answers is recognised, never repeated. Each is made from its settings without a
//! call, unless a name has to be looked up; its first use logs in. In the program each stands behind a [`Guarded`] or a
//! [`GuardedStore`].

#![warn(clippy::indexing_slicing)]

mod guarded;

#[cfg(any(feature = "aws", feature = "google", feature = "transit"))]
mod failure;

#[cfg(any(feature = "aws", feature = "google", feature = "transit"))]
mod kept;

#[cfg(feature = "transit")]
mod openbao;

#[cfg(feature = "transit")]
mod transit;

#[cfg(feature = "transit")]
mod kv;

#[cfg(feature = "aws")]
mod aws;

#[cfg(feature = "google")]
mod google;

#[cfg(feature = "pkcs11")]
mod pkcs11;

#[cfg(feature = "aws")]
pub use aws::{AwsKms, AwsKmsSettings, AwsSecrets, AwsSecretsSettings};
#[cfg(feature = "google")]
pub use google::{GoogleKms, GoogleKmsSettings, GoogleSecrets, GoogleSecretsSettings};
pub use guarded::{GuardSettings, Guarded, GuardedStore};
#[cfg(feature = "transit")]
pub use kv::{OpenBaoSecrets, OpenBaoSecretsSettings};
#[cfg(feature = "transit")]
pub use openbao::{OpenBaoLogin, OpenBaoSettings};
#[cfg(feature = "pkcs11")]
pub use pkcs11::{IvSource, Pkcs11, Pkcs11Settings};
#[cfg(feature = "transit")]
pub use transit::{Transit, TransitSettings};
