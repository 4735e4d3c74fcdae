//! credvault: a vault for the third-party credentials of a SaaS platform's customers, served to its internal services
//! over mutually authenticated gRPC.
//!
//! This package is wire and wiring, and nothing else: [`proto`] is the public contract with generated clients and
//! servers; everything behind it stands in the crates beside this one. `ARCHITECTURE.md` is the map.

pub use credvault_proto as proto;

pub mod settings;

mod clock;
mod files;

mod command;
mod output;

mod serve;
mod server;

mod accept;

mod service;
mod wire;

mod reload;
mod telemetry;
mod trace;

pub use clock::SystemClock;
pub use command::run;
pub use serve::{Instance, StartError};
