//! The rotation of credentials at their providers: another key is made, tested and served in place of the one before, which
//! then ends. `docs/credential-rotation.md` has the protocol and its reasons.
//!
//! A claim is written before the provider is asked for a key (`claim`), and the key is sealed in a row of its own as soon as
//! it is known, before it is tested and served (`end`). So a crash loses a key only while the provider's answer is on its
//! way, and leaves a row that says so. Keys that were replaced, or made in vain, stay sealed until they have ended at the
//! provider (`old_keys`). No transaction is open while a provider is asked.

pub(crate) mod plan;
pub(crate) mod row;

pub(crate) mod automatic;
pub(crate) mod keys;
pub(crate) mod left;

mod doubtful;

pub(crate) mod claim;

pub(crate) mod end;
pub(crate) mod superseded;

pub(crate) mod shared;

pub(crate) mod old_keys;

pub(crate) mod replaced;

pub(crate) mod search;
pub(crate) mod shown;

use crate::Store;

/// The repository of rotations of credentials.
#[derive(Clone, Copy, Debug)]
pub struct CredentialRotations<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of rotations of credentials.
    pub fn credential_rotations(&self) -> CredentialRotations<'_> {
        CredentialRotations { store: self }
    }
}
