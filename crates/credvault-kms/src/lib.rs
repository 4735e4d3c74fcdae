//! Key managers: systems outside of the process that hold the root key and wrap tenant keys with it. This crate holds the
//! implementations of [`credvault_crypto::KeyManager`], fences in the SDKs that they need, and knows no database and no
//! wire of ours.
//!
//! None of them logs, or puts into an error, what it wraps or the credentials that it authenticates with. Texts of errors
//! are of this crate: what a server answers is recognised, never repeated. Each key manager is made from its settings
//! without a call, unless a name has to be looked up; its first use logs in. In the program each stands behind a
//! [`Guarded`].

#![warn(clippy::indexing_slicing)]

mod guarded;

#[cfg(feature = "transit")]
mod openbao;

#[cfg(feature = "transit")]
mod transit;

#[cfg(feature = "aws")]
mod aws;

#[cfg(feature = "google")]
mod google;

#[cfg(feature = "pkcs11")]
mod pkcs11;

#[cfg(feature = "aws")]
pub use aws::{AwsKms, AwsKmsSettings};
#[cfg(feature = "google")]
pub use google::{GoogleKms, GoogleKmsSettings};
pub use guarded::{GuardSettings, Guarded};
#[cfg(feature = "transit")]
pub use openbao::{OpenBaoLogin, OpenBaoSettings};
#[cfg(feature = "pkcs11")]
pub use pkcs11::{IvSource, Pkcs11, Pkcs11Settings};
#[cfg(feature = "transit")]
pub use transit::{Transit, TransitSettings};
