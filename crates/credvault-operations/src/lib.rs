//! What the vault does for its callers.
//!
//! The crate knows no wire: no gRPC, no HTTP, no protobuf. The handlers of gRPC, the port for browsers and the background
//! jobs call it, and nothing else reaches the store, the broker and the policies on behalf of a caller.
//!
//! [`call`] is the frame: who asks, about what, whether policy permits it, what the audit log says. Beside it stands one
//! function for each RPC, by subject, on domain types.
//!
//! # How to add an RPC
//!
//! 1. Write it into the proto, and its row into the table of `credvault-domain`'s `action.rs`: policies, audit records and
//!    metrics take its name and kind from there.
//! 2. Write its function here, in the file of its subject: `pub async fn name(call: &mut Call, request…) ->
//!    Result<Recorded<Answer>, Refusal>`.
//! 3. Set what the call is about with the first line, so that a refusal is on record with its subject: the frame does
//!    that in [`Call::connection`] and [`Call::administer`].
//! 4. Ask for permission through one of the four methods that give a [`Permit`]. Without one neither [`Call::write`] nor
//!    [`Call::recorded`] can be called.
//! 5. Change something with one call of the store that takes the [`Write`]; or read, and end with [`Call::recorded`].
//!    Take room for the answer ([`Call::room`]) before reading what may be large.
//! 6. Take what the caller wrote as domain types; where a rule may only be told after permission, as [`Parsed`], and
//!    raise it with `?` after the permit is there.
//! 7. A new way to fail is a new [`Refusal`] with its reason: both tables are exhaustive and do not compile without.
//! 8. Write the handler in the root package: parse, call this function, convert back.
//!
//! Policies are asked about the items of a list, too: `Call::shown`.

/// Implements `Debug` for types that hold secrets: their names, and nothing of their content.
macro_rules! debug_without_content {
    ($($type:ident),* $(,)?) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    )*};
}
pub(crate) use debug_without_content;

pub mod call;
mod inquiries;
mod limits;
mod paging;
mod refusal;
pub mod room;
mod standing;

pub mod audit;
pub mod connect;
pub mod connections;
pub mod consents;
pub mod credentials;
pub mod dependants;
pub mod events;
pub mod providers;
pub mod requirements;
pub mod rotations;
pub mod services;
pub mod tenants;
pub mod tokens;
pub mod usage;
pub mod webhooks;

use credvault_domain::Violations;

pub use call::{Call, Context, Done, Ended, Entry, Parts, Repeat, record_refusal, run, tenant_name};
pub use connect::SessionLimit;
pub use credvault_domain::Permit;
pub use credvault_store::{Recorded, Write};
pub use limits::{Exceeded, RateSettings};
pub use paging::Paging;
pub use refusal::{Class, Refusal};
pub use standing::Fault;

/// What was read of a request, or what is wrong with it. A transport refuses at once what no operation can begin with, such
/// as a malformed id. An operation raises the other violations once policy has permitted the call: so the refusal is on
/// record with its subject, and a caller without permission learns nothing else.
pub type Parsed<T> = Result<T, Violations>;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use credvault_domain::ConnectionId;

    use super::{consents, webhooks};

    #[test]
    fn requests_do_not_show_what_they_hold() {
        let text = || "CANARY".to_owned();
        let complete = consents::Complete {
            result: text(),
            parameters: BTreeMap::from([("code".to_owned(), text())]),
            session: Ok(None),
        };
        let received = webhooks::Received {
            connection: ConnectionId::from_uuid(Default::default()),
            webhook: String::new(),
            method: String::new(),
            url: text(),
            headers: vec![("authorization".to_owned(), text())],
            body: text().into_bytes(),
        };
        let browser = consents::browser::Browser { id: Some(text()), address: IpAddr::from([0; 4]) };
        let started = consents::browser::Started { url: text(), browser: text() };
        let shown = format!("{complete:?} {received:?} {browser:?} {started:?}");
        assert_eq!(shown, "Complete { .. } Received { .. } Browser { .. } Started { .. }");
    }
}
