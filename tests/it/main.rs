//! The whole vault over real mTLS gRPC, on SQLite and on a real PostgreSQL.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "a test binary")]

mod harness;

mod actions;
mod administration;
mod answers;
mod apps;
mod bad_input;
mod browser;
mod callbacks;
mod canary;
mod certificates;
mod checked;
mod client_keys;
mod connection_tests;
mod consents;
mod crash;
mod credentials;
mod destinations;
mod documents;
mod events;
mod fairness;
mod handoff;
mod hang_up;
mod health;
mod import;
mod isolation;
mod kill;
mod limits;
mod oauth_apps;
mod oidc;
mod operate;
mod outage;
mod oversight;
mod pauses;
mod ports;
mod program;
mod records;
mod refreshes;
mod rejected;
mod reload;
mod requests;
mod requirements;
mod revocations;
mod rfc9700;
mod services;
mod sources;
mod start;
mod sync;
mod tenants;
mod testing;
mod tokens;
mod transactions;
mod usage;
mod webhooks;
