//! Who calls, for which tenant and user, and whether policy permits what they ask.
//!
//! ```text
//! certificate ──► service   [`Trust`]: SPIFFE rules, bundles for each trust domain, re-checked when bundles change
//! token, headers ──► tenant and user   [`Issuers`]: JWKS, claims, assertions bound to the calling service
//! policy ──► scope   [`Policies`]: Cedar, default deny
//! ```
//!
//! [`Identity`] puts the three together. It is the only maker of a `TenantScope`, so no row of a tenant is touched
//! without all of this. Nothing here asks a database, and what needs the network is handed in.

mod error;

mod certificate;
mod trust;

mod claims;
mod issuer;
mod jwks;
mod jwt;

mod policy;
mod question;
mod schema;

mod identity;

pub use certificate::{CertificateError, PeerCertificate};
pub use error::{Denial, Error};
pub use identity::{Caller, Identity, Presented, VerifiedTenant};
pub use issuer::{AudienceClaim, Fetch, FetchError, Issuer, IssuerKind, IssuerSettings, Issuers, KeySource};
pub use jwt::TokenError;
pub use policy::{Policies, PolicyError, PolicyFile};
pub use question::{Facts, Permit, Resource};
pub use schema::schema_text;
pub use trust::{Trust, TrustError};
