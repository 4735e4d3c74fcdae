//! The provider catalog: for each third party, which ways to authenticate there are, what a credential consists of,
//! and how a request carries it.
//!
//! Providers are data, one file each (`providers/*.toml`, embedded; more from a folder of the operator's). A new one
//! like them needs a file and no code. [`Catalog`] holds them all; a [`Mode`] checks and uses the credentials of one way.

mod catalog;

mod file;

mod locate;

mod provider;

mod field;

mod template;

mod schema;

mod request_auth;

pub use catalog::{Catalog, LoadError};
pub use provider::{Mode, ModeKind, Provider};
pub use request_auth::RequestAuth;
