//! The canonical bytes of one record, as the log hashes and keeps them. They may be of a later version than this program
//! knows: their hash can be verified all the same.

/// The most bytes of a record. With its blinding it fits into an entry of C2SP tlog-tiles, which has a length of two bytes.
pub const MAX_RECORD_BYTES: usize = 65_535 - 32;

/// A record in its canonical bytes, at most [`MAX_RECORD_BYTES`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordBytes(Vec<u8>);

/// A record has more than [`MAX_RECORD_BYTES`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a record must have at most 65,503 bytes: shorten its lists of fields")]
pub struct RecordTooLong;

impl RecordBytes {
    /// Wraps bytes that `Record::encode` made, here or in another version of the program.
    ///
    /// # Errors
    /// There are more than [`MAX_RECORD_BYTES`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, RecordTooLong> {
        if bytes.len() > MAX_RECORD_BYTES { Err(RecordTooLong) } else { Ok(Self(bytes)) }
    }

    /// The bytes of the record.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes of the record, handed over.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}
