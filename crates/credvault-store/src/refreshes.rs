//! The refresh of tokens, exactly once over any number of replicas. `docs/refresh.md` has the protocol and its reasons.
//!
//! A claim is written before the provider is called (`claim`), and what the provider gave is stored only if the
//! generation is still the claimed one (`end`). No transaction is open in between. `search` finds what is due.

pub(crate) mod row;
pub(crate) mod schedule;

pub(crate) mod failure;
pub(crate) mod pause;

pub(crate) mod claim;
mod left;
mod shown;

pub(crate) mod end;

pub(crate) mod budgets;
pub(crate) mod search;
mod wake;

use crate::Store;

/// The repository of refreshes.
#[derive(Clone, Copy, Debug)]
pub struct Refreshes<'a> {
    store: &'a Store,
}

impl Store {
    /// The repository of refreshes.
    pub fn refreshes(&self) -> Refreshes<'_> {
        Refreshes { store: self }
    }
}
