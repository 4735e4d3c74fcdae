//! gRPC over mutual TLS: the listener, its TLS configuration, the gate that every request passes before its message is
//! read, the bodies of requests and responses, which count against the memory for both, the handlers of all RPCs, and what
//! stands between their messages and the domain.

mod listener;
mod tls;

mod gate;
mod peer;

mod answer;
mod arrival;

mod routes;
mod services;
mod wire;

pub(crate) use arrival::{Arrived, MAX_REQUEST};
pub(crate) use gate::Gate;
pub(crate) use listener::Server;
pub(crate) use routes::{MAX_HEALTH_MESSAGE, routes};
pub(crate) use tls::{Tls, certificates, check_pair, private_key};
pub(crate) use wire::{code_name, explained_policy, policy_question, reason_of, struct_of, timestamp};
