//! Events: the endpoints that want them, and their deliveries. What a change has to say is written into the outbox by its
//! own transaction (`change/outbox.rs`).

pub(crate) mod deliveries;
pub(crate) mod endpoints;
