//! Tools for tests: certificate authorities, token issuers, a manual clock, a real PostgreSQL, real key
//! managers and stores of secrets.
//!
//! Every tool is real but small. A tool that fails panics, because a test that cannot be set up has failed.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod authority;

mod tokens;

mod clock;

mod feed;
mod postgres;

mod http_calls;
mod proxy;

mod peers;

mod moto;
mod openbao;

#[cfg(feature = "google-kms")]
mod google;

mod own_process;

mod softhsm;

pub use authority::{Authority, Leaf, LeafSpec};
pub use clock::ManualClock;
#[cfg(feature = "google-kms")]
pub use google::{GoogleFault, GoogleServer};
pub use http_calls::HttpCalls;
pub use moto::Moto;
pub use openbao::OpenBao;
pub use own_process::run as run_in_own_process;
pub use postgres::{Postgres, PostgresDatabase, postgres_program};
pub use proxy::RoundTrips;
pub use softhsm::{SoftHsm, soft_hsm};
pub use tokens::{Algorithm, TokenIssuer, rsa_issuer};

/// A text that no log, trace, metric, error or audit record may ever show. Every secret of a test contains it.
pub const CANARY: &str = "CANARY";

/// Copies of a text that are broken at one place: with each of these words inserted there, and without the byte there.
pub fn broken_at(text: &str, place: usize, words: &[&str]) -> Vec<String> {
    let (before, after) = text.split_at(place);
    let without = format!("{before}{}", &after[1..]);
    words.iter().map(|word| format!("{before}{word}{after}")).chain([without]).collect()
}

/// HMAC-SHA256 in lower-case hexadecimal, as providers sign webhooks.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    ring::hmac::sign(&key, message).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
