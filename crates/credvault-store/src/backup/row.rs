//! The encoding of a row, the same for both databases: each value with its length in front.

use credvault_domain::TenantId;

use super::error::{BackupError, malformed};

/// The length of NULL.
const NULL: i32 = -1;

/// Appends a value to a row.
pub(super) fn put(row: &mut Vec<u8>, value: Option<&[u8]>) -> Result<(), BackupError> {
    match value {
        None => row.extend_from_slice(&NULL.to_be_bytes()),
        Some(value) => {
            let length = i32::try_from(value.len()).map_err(|_| malformed())?;
            row.extend_from_slice(&length.to_be_bytes());
            row.extend_from_slice(value);
        }
    }
    Ok(())
}

/// The values of a row, in the order of its columns.
#[derive(Clone, Copy)]
pub(super) struct Values<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = Result<Option<&'a [u8]>, BackupError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let value = split(self.0);
        // What cannot be read ends the row.
        self.0 = match &value {
            Ok((_, rest)) => *rest,
            Err(_) => &[],
        };
        Some(value.map(|(value, _)| value))
    }
}

/// The first value, and what follows it.
fn split(row: &[u8]) -> Result<(Option<&[u8]>, &[u8]), BackupError> {
    let (length, rest) = row.split_first_chunk::<4>().ok_or_else(malformed)?;
    let length = i32::from_be_bytes(*length);
    if length == NULL {
        return Ok((None, rest));
    }
    let length = usize::try_from(length).map_err(|_| malformed())?;
    let (value, rest) = rest.split_at_checked(length).ok_or_else(malformed)?;
    Ok((Some(value), rest))
}

/// Rows that come one after the other.
pub(super) trait NextRow {
    /// The next row; `None` behind the last one.
    fn next(&mut self) -> Result<Option<&[u8]>, BackupError>;
}

/// Rows that were made here, and not read of a backup.
#[derive(Default)]
pub(super) struct MadeRows {
    rows: Vec<Vec<u8>>,
    next: usize,
}

impl MadeRows {
    pub(super) fn new(rows: Vec<Vec<u8>>) -> Self {
        Self { rows, next: 0 }
    }
}

impl NextRow for MadeRows {
    fn next(&mut self) -> Result<Option<&[u8]>, BackupError> {
        self.next += 1;
        Ok(self.rows.get(self.next - 1).map(Vec::as_slice))
    }
}

/// Rows that are counted on their way. The platform's own are kept, if the place of their tenant is given.
pub(super) struct Noted<R> {
    rows: R,
    tenant_at: Option<usize>,
    pub(super) count: u64,
    pub(super) kept: Vec<Vec<u8>>,
}

impl<R: NextRow> Noted<R> {
    pub(super) fn new(rows: R, tenant_at: Option<usize>) -> Self {
        Self { rows, tenant_at, count: 0, kept: Vec::new() }
    }
}

impl<R: NextRow> NextRow for Noted<R> {
    fn next(&mut self) -> Result<Option<&[u8]>, BackupError> {
        let row = self.rows.next()?;
        self.count += u64::from(row.is_some());
        if let (Some(row), Some(at)) = (row, self.tenant_at)
            && let Some(Ok(Some(tenant))) = Values(row).nth(at)
            && tenant == TenantId::PLATFORM.as_bytes()
        {
            self.kept.push(row.to_vec());
        }
        Ok(row)
    }
}

/// An integer as a row has it.
pub(super) fn integer(value: &[u8]) -> Result<i64, BackupError> {
    Ok(i64::from_be_bytes(value.try_into().map_err(|_| malformed())?))
}

/// A text as a row has it.
pub(super) fn text(value: &[u8]) -> Result<&str, BackupError> {
    std::str::from_utf8(value).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_anything_else_is_refused() {
        let mut row = Vec::new();
        let values: [Option<&[u8]>; 4] = [Some(b"one"), None, Some(b""), Some(&7_i64.to_be_bytes())];
        for value in values {
            put(&mut row, value).expect("short");
        }
        let found: Vec<_> = Values(&row).map(|value| value.expect("readable")).collect();
        assert_eq!(found, values);
        assert_eq!(integer(found[3].expect("a value")).expect("an integer"), 7);
        assert!(integer(b"short").is_err() && text(&[0xff]).is_err());
        for cut in [1, 3, 5, row.len() - 1] {
            assert!(Values(&row[..cut]).any(|value| value.is_err()), "{cut}");
        }
        assert!(Values(&[0xff, 0xff, 0xff, 0xfe]).any(|value| value.is_err()), "a negative length");
    }
}
