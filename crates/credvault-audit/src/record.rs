//! One audit record and its canonical bytes, version 1. The same record has the same bytes everywhere and forever, and no
//! other bytes decode to it.
//!
//! ```text
//! version (1) = 1 || present (2) || id (16) || time (8) || trace (16)
//!   || tenant || tenant source || action || outcome
//!   || service || user || connection (16) || owner || provider || version of the credential (8)
//!   || purpose || reason || source address       each only if its bit in `present` is set, bit 0 for the first
//!   || changed || released || policies           each: number of texts (2) || texts
//! text = length (2) || UTF-8;  source address = 4 (1) || 4 bytes, or 16 (1) || 16 bytes;  numbers are big-endian
//! ```
//!
//! Names are texts and not numbers, so that a verifier of any age reads the names of a later vault.

mod decode;
mod encode;
mod event;

use std::borrow::Cow;
use std::net::IpAddr;

use uuid::Uuid;

/// An audit record as the log keeps it. Names that were valid once stay valid here: actions, reasons and providers may come
/// from a later vault, or from one that is long gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// The id of the record, a UUIDv7.
    pub id: Uuid,
    /// The instant of the decision, in microseconds since 1970.
    pub time: i64,
    /// The W3C trace id of the call.
    pub trace: [u8; 16],
    /// The tenant whose log holds the record.
    pub tenant: Cow<'a, str>,
    /// What vouched for the tenant.
    pub tenant_source: Cow<'a, str>,
    /// The RPC that was called, or the permission that was used.
    pub action: Cow<'a, str>,
    /// The outcome of the call.
    pub outcome: Cow<'a, str>,
    /// The calling service, or the vault itself.
    pub service: Option<Cow<'a, str>>,
    /// The verified user of the call.
    pub user: Option<Cow<'a, str>>,
    /// The connection that the call concerned.
    pub connection: Option<Uuid>,
    /// The user who owns that connection.
    pub owner_user: Option<Cow<'a, str>>,
    /// The provider of the connection.
    pub provider: Option<Cow<'a, str>>,
    /// The credential version that was returned or changed.
    pub version: Option<i64>,
    /// The purpose that the caller gave.
    pub purpose: Option<Cow<'a, str>>,
    /// The reason of a refusal or failure.
    pub reason: Option<Cow<'a, str>>,
    /// The address that the call came from.
    pub source_address: Option<IpAddr>,
    /// The names of the fields that the call changed.
    pub changed: Vec<Cow<'a, str>>,
    /// The names of the fields that left the vault and that only few calls release.
    pub released: Vec<Cow<'a, str>>,
    /// The policies that decided.
    pub policies: Vec<Cow<'a, str>>,
}

/// Why bytes are not a record, or a record not an event of this vault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The first byte is not a version that this program knows.
    #[error("the record has a version that this program does not know: use a later program")]
    Version,
    /// The bytes break the layout, or spell it in a second way.
    #[error("the record's bytes must have the layout of version 1, without anything more")]
    Layout,
    /// A name is not known to this vault.
    #[error("the record's {0} is not known to this vault")]
    Unknown(&'static str),
}
