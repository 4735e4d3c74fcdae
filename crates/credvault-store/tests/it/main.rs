//! The store on SQLite and on a real PostgreSQL.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "a test binary")]

mod fixture;

mod access;
mod altered;
mod audit;
mod authorizations;
mod backup;
mod changes;
mod connect_sessions;
mod counts;
mod credential_rotations;
mod credentials;
mod delivered_keys;
mod erasures;
mod events;
mod failing;
mod feed;
mod health;
mod isolation;
mod keyless;
mod keys;
mod migrate;
mod opening;
mod postgres;
mod quotas;
mod rates;
mod refreshes;
mod rules;
mod secrets;
mod upkeep;
mod usage;
