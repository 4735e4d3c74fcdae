//! Plain HTTP: the port for operators and probes, and the port for browsers. Both drive connections in one way, with limits
//! of time and of places for each address.

mod admin;
mod port;
mod public;

pub(crate) use admin::{Readiness, Ready, SERVICES, router as admin_router};
pub(crate) use port::{Protocol, serve};
pub(crate) use public::router as public_router;
