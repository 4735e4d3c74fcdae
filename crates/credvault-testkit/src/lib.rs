//! What tests are made with: certificate authorities, token issuers, a clock that obeys, a real PostgreSQL.
//!
//! Everything is real but small. A helper that fails panics, for a test that cannot be set up has failed.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod authority;

mod tokens;

mod clock;

mod postgres;

mod proxy;

pub use authority::{Authority, Leaf, LeafSpec};
pub use clock::ManualClock;
pub use postgres::{Postgres, PostgresDatabase};
pub use proxy::RoundTrips;
pub use tokens::{Algorithm, TokenIssuer, rsa_issuer};

/// A text that no log, trace, metric, error or audit record may ever show. Every secret of a test contains it.
pub const CANARY: &str = "CANARY";
