//! The only way out of the vault: every request to a provider and every event goes through [`client::Http`], which
//! limits time and size and asks [`guard::Guard`] about each address. The catalog knows what an answer means.

pub(crate) mod client;
pub(crate) mod error;

pub(crate) mod destinations;
pub(crate) mod guard;
mod network;
mod special;
pub(crate) mod url_rule;

pub(crate) mod reader;
mod running_time;

pub use client::{Answer, Http, Receipt};
pub use error::SendError;
pub use guard::Guard;
pub use network::{Network, NetworkError};
