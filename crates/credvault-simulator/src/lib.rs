//! A provider that misbehaves on demand: OAuth 2.0 over real HTTP, with a switch for each quirk of the real ones.
//!
//! ```text
//! GET  /authorize          a page that asks for consent          POST /decide   its two buttons
//! POST /token, GET /token  codes, renewals, client credentials, assertions, extensions
//! POST /revoke             RFC 7009                              GET  /me       the account of a token or key
//! GET  /.well-known/openid-configuration, /.well-known/oauth-authorization-server      POST /register   RFC 7591
//! GET  /wc-auth/v1/authorize   WooCommerce's delivery of API keys
//! POST /keys, /keys/roll   another API key, beside the present one or in its place     DELETE /keys/ID
//! /control/behaviour, /control/counts, /control/reset            the switches, for other processes
//! ```
//!
//! [`Simulator::start`] serves it, [`Simulator::behave`] changes its [`Behaviour`] while it runs, and [`Simulator::counts`]
//! and [`Simulator::families`] return what it has seen. A token request goes through four stages:
//!
//! ```text
//! arrival ──► step ──► effect ──► answer
//! counted     what     the        shaped by the switches, then delayed, lost or spoilt by the step
//!             goes     ledger
//!             wrong    changes
//! ```
//!
//! Invariants: the ledger changes at one instant, under a lock that no request holds while it waits; an effect that
//! began is finished even if the caller hung up, as real providers do; and tokens, codes and grace times end by tokio's
//! clock, so that tests can pause it. It protects nothing: everyone who reaches its port may do everything.

mod behaviour;
mod script;
mod seconds;

mod simulator;

mod api_keys;
mod ledger;
mod opaque;
mod rotation;
mod state;

mod token;

mod client;
mod consent;
mod credentials;
mod page;
mod parameters;

mod account;
mod control;
mod keys;
mod listener;
mod metadata;
mod woocommerce;

pub use behaviour::{
    Behaviour, ClientAuth, Dialect, Expiry, Minting, RefreshTokens, Revocation, Rotation, ScopeAnswer,
};
pub use credentials::{CLIENT_ID, CLIENT_SECRET, SECOND_CLIENT_SECRET};
pub use ledger::{Family, Tokens};
pub use script::{Refusal, RetryAfter, Step};
pub use simulator::Simulator;
pub use state::Counts;
