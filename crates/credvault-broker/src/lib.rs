//! The broker: what the vault does at providers.

pub mod webhook;
