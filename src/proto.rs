//! The public contract, generated from `proto/`: messages, clients and servers of package `credvault.v1`.

use std::fmt;

/// Package `credvault.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("credvault.v1");
}

/// The encoded `FileDescriptorSet` of the package and what it imports, for reflection and for tools.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Messages that hold plaintext say of themselves only what they are.
macro_rules! hidden {
    ($($message:ident)*) => {$(
        impl fmt::Debug for v1::$message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }
    )*};
}

// All of those with a field that is marked `debug_redact`.
include!(concat!(env!("OUT_DIR"), "/hidden.rs"));
