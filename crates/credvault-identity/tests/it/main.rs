//! Certificates, tokens and policies, good and bad.

#![allow(missing_docs, reason = "a test binary")]

mod certificates;
mod policies;
mod tokens;
