//! credvault: a vault for the third-party credentials of a SaaS platform's customers, served to its internal services
//! over mutually authenticated gRPC.
//!
//! This package is wire and wiring, and nothing else: `credvault-proto` is the public contract with generated clients and
//! servers; everything behind it stands in the crates beside this one. `ARCHITECTURE.md` is the map.

pub mod settings;

pub mod pages;

mod app;
mod health;
mod jobs;
mod shared;

mod grpc;
mod http;

mod cli;

mod accept;
mod clock;
mod reload;
mod telemetry;
mod trace;

pub use app::{Instance, ManagerError, SecretStoreSettingsError, StartError};
pub use cli::run;
pub use clock::SystemClock;
