//! The simulator, spoken to over real HTTP: each switch has a test of its own here.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

mod account;
mod answers;
mod clients;
mod consent;
mod control;
mod faults;
mod grants;
mod keys;
mod refusals;
mod rotation;
mod woocommerce;
