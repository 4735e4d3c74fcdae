//! Keeps tokens fresh, with one request to the provider for all callers and replicas that want the same tokens.
//! `docs/refresh.md` has the protocol and its reasons; the steps here are those of the model in `tests/model`.
//!
//! The path of a refresh: [`refresher`] is asked by a caller or by [`search`]; callers of one process share a refresh
//! ([`InFlight`](crate::InFlight)); [`claim`] claims it or waits for the replica that has; [`attempt`] makes the attempt: [`request`] fills
//! the request, [`send`] sends it, [`refusal`] judges a refusal, and [`persist`] stores the outcome.

pub(crate) mod error;
pub(crate) mod refresher;

mod search;
mod worker;

mod attempt;
mod claim;
mod persist;
mod send;

mod request;

mod backoff;
mod failed;
pub(crate) mod refusal;

pub use error::RefreshError;
pub use refresher::{MIN_TOKEN_LIFETIME, Need, RefreshLimits, Refresher};
