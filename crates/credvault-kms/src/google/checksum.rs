//! CRC32C, with which Google and its callers notice what was corrupted between them:
//! <https://cloud.google.com/kms/docs/data-integrity-guidelines>.

use crc::{CRC_32_ISCSI, Crc};

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// The checksum, as a number in the API's messages.
pub(super) fn of(bytes: &[u8]) -> i64 {
    CRC32C.checksum(bytes).into()
}
