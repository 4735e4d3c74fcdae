//! What one leaf stands for: a record behind a blinding.
//!
//! ```text
//! entry = blinding (32) || record        leaf hash = SHA-256(0x00 || entry)
//! ```
//!
//! A record has little that cannot be guessed. Without the blinding, a reader of the tree's hashes could test guesses of
//! records that were erased; with it, a leaf hash says nothing once the blinding is gone. The leaf still binds the vault to
//! the record: two different entries with one hash would be a collision of SHA-256.

use std::fmt;

use crate::{Hash, RecordBytes};

/// The random bytes that hide a record behind its leaf hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Blinding([u8; Blinding::BYTES]);

impl Blinding {
    /// The number of bytes of a blinding.
    pub const BYTES: usize = 32;

    /// Wraps the bytes of a blinding.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes of the blinding.
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0
    }
}

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinding")
    }
}

/// A record with its blinding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What hides the record behind its leaf hash.
    pub blinding: Blinding,
    /// The record that the entry logs.
    pub record: RecordBytes,
}

/// The bytes are not those of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an entry must be a blinding of 32 bytes and a record of at most 65,503")]
pub struct EntryError;

impl Entry {
    /// The hash of the entry's leaf.
    pub fn leaf(&self) -> Hash {
        leaf(self.blinding, &self.record)
    }

    /// The entry as C2SP formats carry it.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.blinding.0.as_slice(), self.record.as_slice()].concat()
    }

    /// Reads what [`Entry::to_bytes`] wrote.
    ///
    /// # Errors
    /// There are too few or too many bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        let (blinding, record) = bytes.split_first_chunk().ok_or(EntryError)?;
        let record = RecordBytes::new(record.to_vec()).map_err(|_| EntryError)?;
        Ok(Self { blinding: Blinding(*blinding), record })
    }
}

/// The leaf hash of a record behind a blinding.
pub(crate) fn leaf(blinding: Blinding, record: &RecordBytes) -> Hash {
    Hash::of_leaf(&[&blinding.0, record.as_slice()])
}
