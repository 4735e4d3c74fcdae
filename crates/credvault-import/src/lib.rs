//! Reads and unseals the credentials that other systems have stored, and turns each row of theirs into an [`Entry`] of ours.
//! It knows no wire and no database of ours: `credvault import` sends what it gives through the public API.
//!
//! ```text
//! Source     CSV, JSON lines, PostgreSQL           one row after the other, so memory stays flat
//!   └─ Record         a row: columns by name
//!        └─ Unsealer  opens what their program sealed (AES-256-GCM; PBKDF2 where each user has a key)
//!             └─ Map  their columns, kinds and fields -> provider, auth mode, settings, secrets
//!                  └─ Entry, or why the row was refused
//! ```
//!
//! What a system stores is data: a [`Map`] in TOML for each, in `maps/`, which a file of the operator's can amend. Code is
//! only what data cannot say: [`system`].
//!
//! No error repeats a value of a row. Names of columns come from the operator, and names of members are shown only if they
//! can be nothing else.

mod entry;
mod layout;
mod map;
mod members;
mod name;
mod record;
mod source;
mod strict;
mod time;
mod unseal;

mod credential;
mod place;

mod convert;
pub mod system;

pub use convert::Converter;
pub use credential::References;
pub use entry::{App, Converted, Entry, Holder, Refused};
pub use layout::{Encoding, Layout, LayoutError};
pub use map::{Map, MapError};
pub use name::is_variable;
pub use record::Record;
pub use source::{BadRow, Format, Source, SourceError, Where};
pub use system::System;
pub use unseal::{KeyForm, Salt, UnsealError, Unsealer};
