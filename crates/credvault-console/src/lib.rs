//! The operators' console: pages for one browser on this machine, made by the server from what the vault's public API
//! answers to the operator's certificate.
//!
//! It knows the contract and nothing else of the vault, so it can do what policy permits to that certificate and no more:
//! it is no door of its own. It keeps no data. No page shows a secret; where the API answers with one, the console has no
//! page. The program binds the port, on loopback only, and hands in channel, clock and randomness.
//!
//! A request passes `guard` first, then reaches one function of `pages`, which calls the API and gives a `Page` or a
//! `Refusal`.

mod assets;
mod call_needs;
mod chart;
mod fields;
mod record_text;
mod refusal;
mod target;
mod words;

mod form;
mod frame;
mod session;
mod vault;

mod console;
mod guard;
mod pages;
mod routes;

pub use call_needs::call_needs;
pub use console::Console;
pub use record_text::{csv_heading, csv_line, json_line};
pub use routes::router;
pub use target::Target;
