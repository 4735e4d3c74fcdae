//! Verifies the calling service, its tenant and user, and decides by policy what they may do.
//!
//! ```text
//! certificate ──► service   [`Trust`]: SPIFFE rules, bundles for each trust domain, re-checked when bundles change
//! token, headers ──► tenant and user   [`Issuers`]: JWKS, claims, assertions bound to the calling service
//! policy ──► scope   [`Policies`]: Cedar, default deny
//! ```
//!
//! [`Identity`] combines the three. It is the only maker of a `TenantScope`, so no code reads or writes a tenant's row
//! without all three checks. This crate uses no database, and the program hands in the function that fetches keys.

#![warn(clippy::indexing_slicing)]

mod error;

mod certificate;
mod trust;

mod caller;
mod claims;
mod issuer;
mod jwks;
mod jwt;
mod token_error;

mod policy;
mod question;
mod schema;

mod identity;

pub use caller::{Caller, Presented, VerifiedTenant};
pub use certificate::{CertificateError, PeerCertificate};
pub use error::{Denial, Error};
pub use identity::Identity;
pub use issuer::{AudienceClaim, Fetch, FetchError, Issuer, IssuerKind, IssuerSettings, Issuers, KeySource};
pub use policy::{
    Access, AccessNeeds, DecidingPolicy, Explanation, NeverAsked, Policies, PolicyDecision, PolicyError,
    PolicyFile, PolicyQuestion, PurposeRule,
};
pub use question::{Facts, Resource};
pub use schema::schema_text;
pub use token_error::TokenError;
pub use trust::{Trust, TrustError};
