//! Authorizations in progress. A state is used once, within ten minutes, by the caller who began the authorization.

pub(crate) mod state;

pub(crate) mod begin;
mod limits;

pub(crate) mod awaited;
pub(crate) mod callbacks;
pub(crate) mod delivered_keys;

pub(crate) mod returned;

mod end;
mod late;

use crate::Store;

/// The repository of authorizations.
#[derive(Clone, Copy, Debug)]
pub struct Authorizations<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of authorizations.
    pub fn authorizations(&self) -> Authorizations<'_> {
        Authorizations { store: self }
    }
}
