//! What a backup says about itself: the header in the clear in front of the frames, the opening and the manifest within
//! them. All three are JSON; the manifest is signed as the bytes that it is written as.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_crypto::{WrappedBackupKey, sha256};
use serde::{Deserialize, Serialize};

use super::error::BackupError;

use crate::hex::hex;

/// The first bytes of every backup.
const MAGIC: &[u8; 17] = b"credvault backup\n";
/// The format that this release writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;
/// The largest header: a wrapped key and a few words.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// What stands in front of the frames, in the clear: what is needed to open them. All frames are bound to it.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(super) struct Header {
    pub(super) format: u32,
    /// When, in microseconds since 1970.
    pub(super) time: i64,
    /// The kind of database: `postgres` or `sqlite`.
    pub(super) database: String,
    /// The id of the key that signs the manifest.
    pub(super) signing_key_id: String,
    /// The root key that wraps the backup's key.
    pub(super) root_key_id: u32,
    /// How root keys are derived that come from passphrases.
    pub(super) root_key_derivations: Vec<String>,
    /// The wrapped key in base64.
    wrapped_key: String,
}

impl Header {
    pub(super) fn new(
        time: i64,
        database: &str,
        signing_key_id: &str,
        wrapped: &WrappedBackupKey,
        root_key_derivations: Vec<String>,
    ) -> Self {
        Self {
            format: FORMAT,
            time,
            database: database.to_owned(),
            signing_key_id: signing_key_id.to_owned(),
            root_key_id: wrapped.root_id,
            root_key_derivations,
            wrapped_key: STANDARD.encode(&wrapped.bytes),
        }
    }

    /// The header as it stands in the backup.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, BackupError> {
        let json = to_json(self)?;
        let length = u32::try_from(json.len()).map_err(std::io::Error::other)?;
        Ok([MAGIC.as_slice(), &length.to_be_bytes(), &json].concat())
    }

    /// Reads the header of a backup, and gives the bytes that it was read from, too.
    pub(super) fn read(from: &mut dyn Read) -> Result<(Self, Vec<u8>), BackupError> {
        let mut begin = [0; MAGIC.len() + 4];
        let read = fill(from, &mut begin)?;
        let (magic, length) = begin.split_at(MAGIC.len());
        if read < MAGIC.len() || magic != MAGIC {
            return Err(BackupError::NotABackup);
        }
        let length = length.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length));
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_HEADER_BYTES);
        let mut json = vec![0; length.ok_or(BackupError::Header)?];
        if read < begin.len() || fill(from, &mut json)? < json.len() {
            return Err(BackupError::Truncated);
        }
        // Read on its own first: a later format may have other fields.
        let Format { format } = from_json(&json).map_err(|_| BackupError::Header)?;
        if format != FORMAT {
            return Err(BackupError::NewerFormat(format));
        }
        let header = from_json(&json).map_err(|_| BackupError::Header)?;
        Ok((header, [begin.as_slice(), &json].concat()))
    }

    /// The backup's key, as it was wrapped.
    pub(super) fn wrapped_key(&self) -> Result<WrappedBackupKey, BackupError> {
        let bytes = STANDARD.decode(&self.wrapped_key).map_err(|_| BackupError::Header)?;
        Ok(WrappedBackupKey { root_id: self.root_key_id, bytes })
    }
}

/// The one field that headers of all formats have.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Reads until the buffer is full or the end is reached, and gives the number of bytes.
fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, BackupError> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

/// What a restore must know before the first row.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(super) struct Opening {
    /// The migrations of the database, oldest first.
    pub(super) migrations: Vec<String>,
    /// The tenants that were erased by then.
    pub(super) erased_tenants: Vec<String>,
}

/// The name and the columns of a table whose rows follow.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(super) struct TableItem {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// What a backup holds, as its vault has signed it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// The version of the backup's format.
    pub format: u32,
    /// The version of the program that made the backup.
    pub release: String,
    /// The moment whose data it has, in microseconds since 1970.
    pub time: i64,
    /// The kind of database that was backed up: `postgres` or `sqlite`.
    pub database: String,
    /// The id of the key that signs this manifest.
    pub signing_key_id: String,
    /// The public half of that key: Ed25519 (RFC 8032), in base64.
    pub public_key: String,
    /// SHA-256 of the header, in hexadecimal digits.
    pub header_sha256: String,
    /// The migrations of the database, oldest first.
    pub migrations: Vec<String>,
    /// The tables, in the order in which they stand in the backup.
    pub tables: Vec<TableSummary>,
    /// The ids of the root keys that wrap tenants' keys, in hexadecimal digits.
    pub root_key_ids: Vec<String>,
    /// The tenants that were erased by then.
    pub erased_tenants: Vec<String>,
    /// The number of rows of all tables.
    pub rows: u64,
    /// The number of bytes of all rows.
    pub row_bytes: u64,
}

impl Manifest {
    /// The bytes that are signed and hashed.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, BackupError> {
        to_json(self)
    }
}

/// One table of a backup.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct TableSummary {
    /// The name of the table.
    pub name: String,
    /// The number of its rows.
    pub rows: u64,
    /// SHA-256 of its columns and rows as they stand in the backup, in hexadecimal digits: the number of columns, the name of
    /// each with its length in front, then each row with its length in front.
    pub sha256: String,
}

pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>, BackupError> {
    Ok(serde_json::to_vec(value).map_err(std::io::Error::from)?)
}

pub(super) fn from_json<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(json)
}

/// SHA-256 of bytes, in hexadecimal digits.
pub(super) fn hash(bytes: &[u8]) -> String {
    hex(&sha256(&[bytes]))
}
