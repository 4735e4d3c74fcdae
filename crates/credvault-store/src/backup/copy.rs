//! PostgreSQL's binary COPY format, both ways. A tuple of it is a row of ours with the number of its columns in front.
//! <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use super::error::{BackupError, malformed};

/// Signature, flags and the length of an extension, which there is none of.
pub(super) const BEGIN: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What stands in place of a tuple behind the last one.
pub(super) const END: [u8; 2] = [0xff, 0xff];

/// Reads tuples of chunks as they come: a chunk may begin or end anywhere.
#[derive(Default)]
pub(super) struct Tuples {
    /// What the chunks before have left.
    rest: Vec<u8>,
    begun: bool,
    ended: bool,
}

/// What the next bytes of a chunk are.
enum Next<'a> {
    /// A tuple, as a row, and the number of its bytes.
    Tuple(&'a [u8], usize),
    End,
    /// More has to come first.
    Incomplete,
}

impl Tuples {
    /// Takes a chunk, and gives each row that is complete now to `each`.
    pub(super) fn take(
        &mut self,
        chunk: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        // Mostly, a chunk is a tuple, and nothing has to be kept.
        if self.rest.is_empty() {
            let left = self.read(chunk, each)?;
            self.rest.extend_from_slice(left);
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(chunk);
        let left = self.read(&all, each)?.len();
        all.drain(..all.len() - left);
        self.rest = all;
        Ok(())
    }

    /// Reads what is complete, and gives the rest.
    fn read<'a>(
        &mut self,
        mut bytes: &'a [u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), BackupError>,
    ) -> Result<&'a [u8], BackupError> {
        if !self.begun {
            let Some((begin, rest)) = bytes.split_first_chunk::<{ BEGIN.len() }>() else { return Ok(bytes) };
            // The flags say nothing that matters here, and no server sends an extension.
            if !begin.starts_with(b"PGCOPY\n\xff\r\n\0") || !begin.ends_with(&[0; 4]) {
                return Err(malformed());
            }
            self.begun = true;
            bytes = rest;
        }
        while !self.ended {
            match next(bytes)? {
                Next::Tuple(row, length) => {
                    each(row)?;
                    bytes = bytes.get(length..).unwrap_or_default();
                }
                Next::End => {
                    self.ended = true;
                    return Ok(&[]);
                }
                Next::Incomplete => break,
            }
        }
        Ok(bytes)
    }

    /// Refuses an end before the server's own.
    pub(super) fn end(&self) -> Result<(), BackupError> {
        if self.ended { Ok(()) } else { Err(malformed()) }
    }
}

fn next(bytes: &[u8]) -> Result<Next<'_>, BackupError> {
    let Some((count, values)) = bytes.split_first_chunk::<2>() else { return Ok(Next::Incomplete) };
    let count = i16::from_be_bytes(*count);
    if count == -1 {
        return Ok(Next::End);
    }
    let mut rest = values;
    for _ in 0..count {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { return Ok(Next::Incomplete) };
        // A negative length is that of NULL, which has no bytes.
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        let Some(after) = after.get(length..) else { return Ok(Next::Incomplete) };
        rest = after;
    }
    let row = values.get(..values.len() - rest.len()).ok_or_else(malformed)?;
    Ok(Next::Tuple(row, 2 + row.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::row::{Values, put};

    fn copied(rows: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = BEGIN.to_vec();
        for row in rows {
            let count = i16::try_from(Values(row).count()).expect("few");
            bytes.extend_from_slice(&count.to_be_bytes());
            bytes.extend_from_slice(row);
        }
        bytes.extend_from_slice(&END);
        bytes
    }

    #[test]
    fn rows_come_back_however_they_are_cut_into_chunks() {
        let mut rows = vec![Vec::new(); 3];
        put(&mut rows[0], Some(b"one")).expect("short");
        put(&mut rows[0], None).expect("short");
        put(&mut rows[1], Some(b"")).expect("short");
        put(&mut rows[2], Some(&[7; 300])).expect("short");
        let bytes = copied(&rows);
        for size in [1, 2, 3, 7, 19, 100, bytes.len()] {
            let (mut tuples, mut found) = (Tuples::default(), Vec::new());
            for chunk in bytes.chunks(size) {
                assert!(tuples.end().is_err());
                tuples
                    .take(chunk, &mut |row: &[u8]| {
                        found.push(row.to_vec());
                        Ok(())
                    })
                    .expect("readable");
            }
            tuples.end().expect("ended");
            assert_eq!(found, rows, "chunks of {size}");
        }
        assert!(Tuples::default().take(&[0; 40], &mut |_: &[u8]| Ok(())).is_err(), "another format");
    }
}
