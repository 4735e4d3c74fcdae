//! Secrets that are kept outside of the database, in external stores: what a record says of them (`content`), the table of
//! payloads (`payloads`), what is remembered (`known`) or being read (`joined`), putting (`place`, `refused`) and reading them
//! (`resolve`), the work that keeps both sides in step (`tending`, `sweeping`, `moving`, `check`), what is not removed (`held`)
//! and what is lost (`writing_off`).
//!
//! A payload is sealed under a key of its own, which only the record in the database has. So each half opens nothing alone,
//! and a payload is dead as soon as its record is destroyed, however long its store still has it.

pub(crate) mod content;

mod joined;
pub(crate) mod known;
pub(crate) mod payloads;

pub(crate) mod resolve;

pub(crate) mod adopt;

pub(crate) mod at_hand;

pub(crate) mod held;

mod refused;

mod place;

mod due;
mod queue;

mod pass;

mod records;

mod sweeping;

pub(crate) mod tending;

pub(crate) mod moving;

pub(crate) mod status;

pub(crate) mod check;

pub(crate) mod erasing;

mod writing_off;

use std::sync::Arc;

use credvault_crypto::{SecretStore, SecretStoreError};

use crate::{Error, Store};

/// The name that stands for the database where a store is chosen.
pub const DATABASE: &str = "database";

/// The repository of secrets that are kept outside of the database.
#[derive(Clone, Copy, Debug)]
pub struct Secrets<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of secrets that are kept outside of the database.
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets { store: self }
    }

    /// Whether this process knows an external store.
    pub(crate) fn has_secret_stores(&self) -> bool {
        !self.settings().secrets.by_name.is_empty()
    }

    /// Whether any process that serves this database may keep something in an external store.
    pub(crate) fn may_use_secret_stores(&self) -> bool {
        self.has_secret_stores() || self.known_payloads().others_use_stores()
    }

    /// Where new secrets of a tenant go that has chosen this store, or none; none if that is the database.
    pub(crate) fn secret_store_for<'a>(&'a self, chosen: Option<&'a str>) -> Option<&'a str> {
        chosen.or(self.settings().secrets.default.as_deref()).filter(|name| *name != DATABASE)
    }

    /// The external store of this name.
    ///
    /// # Errors
    /// [`Error::SecretStore`] if this process is not configured with it.
    pub(crate) fn secret_store(&self, name: &str) -> Result<&Arc<dyn SecretStore>, Error> {
        match self.settings().secrets.by_name.get(name) {
            Some(entry) => Ok(&entry.store),
            None => Err(unconfigured(name)),
        }
    }
}

/// The error of a store that this process is not configured with.
pub(crate) fn unconfigured(name: &str) -> Error {
    let rule = "this replica has no store of this name; configure it under secrets.stores, or if it is lost, give it up with \
                credvault secrets write-off";
    failed(name)(SecretStoreError::Settings(rule.to_owned()))
}

/// An error of the store of this name.
pub(crate) fn failed(name: &str) -> impl Fn(SecretStoreError) -> Error {
    move |problem| Error::SecretStore { store: name.to_owned(), problem }
}
