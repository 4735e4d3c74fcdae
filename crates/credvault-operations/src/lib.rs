//! What the vault does for its callers.
//!
//! The crate knows no wire: no gRPC, no HTTP, no protobuf. Handlers of gRPC, the port for browsers and background jobs
//! call it, and nothing else reaches the store, the broker and the policies on behalf of a caller.

mod refusal;

pub mod room;

pub use refusal::{Class, Refusal};
