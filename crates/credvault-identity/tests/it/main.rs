//! Certificates, tokens and policies, good and bad.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test binary")]

mod access;
mod certificates;
mod claims;
mod fixture;
mod keys;
mod policies;
mod scopes;
mod tokens;
