//! Consents: from the URL that a browser is sent to, to the credential that is stored. RFC 6749 section 4.1 with PKCE
//! (RFC 7636) and issuer identification (RFC 9207); RFC 9700 has the attacks.
//!
//! A consent is what the account's owner gives; an authorization is the row in progress that waits for it. [`begin`]
//! sends the browser away and [`callback`] reads what it comes back with. [`complete`] then has the code exchanged for
//! tokens ([`exchange`]), asks for what is missing ([`post_exchange`]) and stores all ([`store`]). Some providers deliver
//! keys instead of a code: [`delivery`].

pub(crate) mod error;
pub(crate) mod target;

mod registration;

pub(crate) mod begin;
mod confirmation_code;

pub(crate) mod callback;
mod callback_signature;

mod complete;
mod exchange;
mod post_exchange;
mod store;

mod delivery;

pub use begin::{BegunConsent, ConsentRequest};
pub use callback::{Callback, CallbackResult};
pub use confirmation_code::confirmation_code;
pub use error::ConsentError;
pub use target::Target;
