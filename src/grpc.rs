//! gRPC over mutual TLS: the listener, its TLS configuration, the gate that every request passes before its message is
//! read, and the bodies of requests and responses, which count against the memory for both. `service` has the RPCs.

mod listener;
mod tls;

mod gate;
mod peer;

mod answer;
mod arrival;

mod routes;

pub(crate) use arrival::{Arrived, MAX_REQUEST};
pub(crate) use gate::Gate;
pub(crate) use listener::Server;
pub(crate) use routes::{MAX_HEALTH_MESSAGE, routes};
pub(crate) use tls::{Tls, certificates, check};
