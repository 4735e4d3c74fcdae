//! The connect page: a page of the vault's own on which a customer lists, adds, repairs and ends connections.
//!
//! A service makes a session for its verified user ([`create()`]), and the browser of that user opens the URL. From then on the
//! browser's requests are calls of that service for that user ([`Visit`]): each runs an operation of this crate in the same
//! frame, so source rules, limits, policy and the audit log are those of the RPC that does the same. Three things are narrower
//! than for the service itself: the calls reach the user's own connections and shared ones only, at the session's providers
//! only, and do only what the session permits.
//!
//! What changes something takes the page's token against forged requests as well ([`Visit::confirmed`]). The pages
//! themselves, in words and HTML, are the root package's.

mod address;
mod begun;
mod changes;
mod consenting;
mod create;
mod entry;
mod form;
mod limit;
mod listing;
mod provider_cards;
mod reach;
mod visit;

pub use address::{Awaited, ConsentWay, open_path, page_path};
pub use changes::{Consequences, Ended, Stored, Tried};
pub use consenting::Begun;
pub use create::{Create, Created, create};
pub use entry::{ADDED_ON, CONNECT_PAGE, Entry, input_of};
pub use form::Form;
pub use limit::SessionLimit;
pub use listing::{ListedConnection, Listing};
pub use provider_cards::{ModeCard, ProviderCard};
pub use visit::{Changes, Visit, Visits};
