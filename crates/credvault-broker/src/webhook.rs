//! Whether an incoming webhook is the provider's: a check over the raw bytes that arrived, for every scheme that the catalog
//! can describe. The body is parsed only for the account that it names.
//!
//! After [`check()`] a caller may trust what was signed, and nothing else. Some providers sign with a key that they publish
//! (`public_key`); all other files are pure and do no I/O.

mod checked;
mod delivery;
pub(crate) mod error;
mod keys;

mod check;
mod claim;
mod message;
mod timestamp;

mod account;
mod handshake;

mod ebay;
mod public_key;
pub(crate) mod public_key_cache;
mod public_key_memory;

pub use account::{Named, named};
pub use check::check;
pub use checked::Checked;
pub use delivery::Delivery;
pub use error::WebhookError;
pub use handshake::handshake;
pub use keys::{Key, Keys};

#[cfg(test)]
mod tests;
