//! The public contract, generated from `proto/`: messages, clients and servers of package [`v1`], and their
//! descriptors. A client of the vault in Rust needs this crate and no other.
//!
//! It holds no logic: the package `credvault` turns messages into domain types and back. A message with a field that is
//! marked `redact` in its proto never shows any of its content in `Debug`; the build script (`build.rs` at the
//! top) reads the mark from the descriptors.

/// The messages and services of package `credvault.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::too_many_lines,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("credvault.v1");
}

mod codec;

pub use codec::Codec;

/// The encoded `FileDescriptorSet` of the package and what it imports, for reflection and for tools.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Gives each of these messages a `Debug` that shows the name of its type and no field.
macro_rules! debug_shows_the_type_only {
    ($($message:ident)*) => {$(
        impl std::fmt::Debug for v1::$message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }
    )*};
}

// The messages with a field that is marked `redact`, as the build script found them.
include!(concat!(env!("OUT_DIR"), "/redacted.rs"));
