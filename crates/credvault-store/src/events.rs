//! Events: the endpoints that want them, and their deliveries. What a change has to say is written into the outbox by its
//! own transaction (`change/outbox.rs`).

pub(crate) mod deliveries;
mod endpoint_deletion;
pub(crate) mod endpoint_secrets;
pub(crate) mod endpoints;
pub(crate) mod forget;
pub(crate) mod lifetime;
