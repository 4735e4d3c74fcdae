//! Backups: everything that a database holds, as it was at one moment, sealed into one stream; and the way back into an
//! empty database of either kind.
//!
//! ```text
//! backup  = "credvault backup\n", length of the header (4, big-endian), header (JSON), frames
//! frames  = items, one after the other, cut into the sealed frames of `credvault_crypto::BackupSealer`
//! item    = kind (1), length (4, big-endian), content
//! items   = O opening (JSON), for each table: T its name and columns (JSON), R a row for each of its rows; then
//!           M manifest (JSON), S signature of the manifest (64)
//! row     = for each column: length (4, big-endian; -1 for NULL), value
//! value   = an integer (8, big-endian; 0 or 1 for a truth value), text or JSON (UTF-8), or bytes
//! ```
//!
//! The encoding of a row is the same whatever the database, so a backup of one kind restores into the other. Reading and
//! restoring take memory for a few frames and batches, however large the database is. Nothing is compressed: most of a
//! vault is ciphertext, and what is read as fast as the database gives it is done sooner than what is made smaller.
//!
//! Statements here are made of names of tables and columns, which come from the schema itself, never of values.

pub(crate) mod error;
pub(crate) mod tables;

mod items;
pub(crate) mod manifest;
mod row;

mod root;
mod signed;
mod signers;

pub(crate) mod progress;

pub(crate) mod erased;

mod copy;
mod postgres_source;
mod source;
mod sqlite_source;
pub(crate) mod write;

mod rows;

mod hold;
mod level;
mod postgres_target;
pub(crate) mod restore;
mod sqlite_target;
mod target;
pub(crate) mod verify;

mod rewrap;

pub(crate) mod record;
