//! Items in and out of the frames of a backup. Knows the kinds of items, and not what is in them.

use std::io::{ErrorKind, Read, Write};

use credvault_crypto::{BackupKey, BackupOpener, BackupSealer, FRAME_BYTES, FRAME_HEAD_BYTES};

use super::error::{BackupError, malformed};

/// The largest item. The tables' own bounds keep rows far below it.
const MAX_ITEM_BYTES: usize = 16 * 1024 * 1024;
/// Kind and length of an item.
const ITEM_HEAD_BYTES: usize = 5;

/// What an item is; its number stands in front of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Opening = 0x4f,
    Table = 0x54,
    Row = 0x52,
    Manifest = 0x4d,
    Signature = 0x53,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Opening, Self::Table, Self::Row, Self::Manifest, Self::Signature];

    fn of(number: u8) -> Result<Self, BackupError> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number).ok_or_else(malformed)
    }
}

/// Writes the items of a backup.
pub(super) struct ItemWriter<'a> {
    to: &'a mut (dyn Write + Send),
    sealer: BackupSealer,
    plain: Vec<u8>,
    frame: Vec<u8>,
    written: u64,
}

impl<'a> ItemWriter<'a> {
    /// Writes the header. The frames behind it are bound to it.
    pub(super) fn begin(
        to: &'a mut (dyn Write + Send),
        key: &BackupKey,
        header: &[u8],
    ) -> Result<Self, BackupError> {
        to.write_all(header)?;
        let plain = Vec::with_capacity(FRAME_BYTES);
        let written = u64::try_from(header.len()).unwrap_or(u64::MAX);
        Ok(Self { to, sealer: BackupSealer::new(key, header), plain, frame: Vec::new(), written })
    }

    /// Writes an item to the stream.
    pub(super) fn item(&mut self, kind: Kind, content: &[u8]) -> Result<(), BackupError> {
        let length = u32::try_from(content.len()).map_err(std::io::Error::other)?;
        if content.len() > MAX_ITEM_BYTES {
            return Err(std::io::Error::other("a row is over 16 MiB").into());
        }
        self.put(&[kind as u8])?;
        self.put(&length.to_be_bytes())?;
        self.put(content)
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), BackupError> {
        while !bytes.is_empty() {
            // Only once more comes: the last frame is never empty.
            if self.plain.len() == FRAME_BYTES {
                self.seal(false)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(FRAME_BYTES - self.plain.len()));
            self.plain.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn seal(&mut self, last: bool) -> Result<(), BackupError> {
        self.sealer.seal(&self.plain, last, &mut self.frame)?;
        self.plain.clear();
        self.to.write_all(&self.frame)?;
        self.written += u64::try_from(self.frame.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// The number of bytes that were written so far.
    pub(super) fn bytes_written(&self) -> u64 {
        self.written
    }

    /// Writes the last frame, and gives the number of bytes of the whole backup.
    pub(super) fn end(mut self) -> Result<u64, BackupError> {
        self.seal(true)?;
        self.to.flush()?;
        Ok(self.written)
    }
}

/// Reads the items of a backup. What it gives is proven to be the backup's own, in its place.
pub(super) struct ItemReader<'a> {
    from: &'a mut (dyn Read + Send),
    opener: BackupOpener,
    body: Vec<u8>,
    /// What was opened; the items up to `at` are done.
    plain: Vec<u8>,
    at: usize,
    ended: bool,
    read: u64,
}

impl<'a> ItemReader<'a> {
    /// Reads behind the header.
    pub(super) fn new(from: &'a mut (dyn Read + Send), key: &BackupKey, header: &[u8]) -> Self {
        let opener = BackupOpener::new(key, header);
        let read = u64::try_from(header.len()).unwrap_or(u64::MAX);
        Self { from, opener, body: Vec::new(), plain: Vec::new(), at: 0, ended: false, read }
    }

    /// The number of bytes of the backup that were read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The kind of the next item; `None` at the end.
    pub(super) fn peek(&mut self) -> Result<Option<Kind>, BackupError> {
        if !self.has(1)? {
            return Ok(None);
        }
        self.plain.get(self.at).map(|number| Kind::of(*number)).transpose()
    }

    /// The content of the next item, which must be of this kind.
    pub(super) fn next(&mut self, kind: Kind) -> Result<&[u8], BackupError> {
        if self.peek()? != Some(kind) || !self.has(ITEM_HEAD_BYTES)? {
            return Err(malformed());
        }
        let head = self.plain.get(self.at + 1..).and_then(|rest| rest.first_chunk::<4>());
        let length = head.and_then(|length| usize::try_from(u32::from_be_bytes(*length)).ok());
        let length = length.filter(|length| *length <= MAX_ITEM_BYTES).ok_or_else(malformed)?;
        if !self.has(ITEM_HEAD_BYTES + length)? {
            return Err(malformed());
        }
        let start = self.at + ITEM_HEAD_BYTES;
        self.at = start + length;
        self.plain.get(start..start + length).ok_or_else(malformed)
    }

    /// Whether so many bytes follow. Opens frames until they do, or the last one is open.
    fn has(&mut self, bytes: usize) -> Result<bool, BackupError> {
        while self.plain.len() - self.at < bytes {
            if self.ended {
                return Ok(false);
            }
            self.plain.drain(..self.at);
            self.at = 0;
            self.open()?;
        }
        Ok(true)
    }

    /// Opens the next frame.
    fn open(&mut self) -> Result<(), BackupError> {
        let mut head = [0; FRAME_HEAD_BYTES];
        self.from.read_exact(&mut head).map_err(cut_off)?;
        self.body.resize(BackupOpener::body_bytes(head)?, 0);
        self.from.read_exact(&mut self.body).map_err(cut_off)?;
        self.read += u64::try_from(head.len() + self.body.len()).unwrap_or(u64::MAX);
        self.ended = self.opener.open(head, &mut self.body)?;
        self.plain.extend_from_slice(&self.body);
        Ok(())
    }

    /// Refuses anything behind the last item, and behind the last frame.
    pub(super) fn end(&mut self) -> Result<(), BackupError> {
        if self.peek()?.is_some() {
            return Err(malformed());
        }
        let mut more = [0];
        match self.from.read(&mut more)? {
            0 => Ok(()),
            _ => Err(BackupError::Trailing),
        }
    }
}

/// An end in the middle of a frame, or without a last one.
fn cut_off(error: std::io::Error) -> BackupError {
    if error.kind() == ErrorKind::UnexpectedEof { BackupError::Truncated } else { error.into() }
}

#[cfg(test)]
mod tests {
    use credvault_crypto::SystemRandom;

    use super::*;

    const HEADER: &[u8] = b"header";

    fn written(key: &BackupKey, rows: &[Vec<u8>]) -> Vec<u8> {
        let mut to = Vec::new();
        let mut writer = ItemWriter::begin(&mut to, key, HEADER).expect("begun");
        for row in rows {
            writer.item(Kind::Row, row).expect("written");
        }
        let bytes = writer.end().expect("ended");
        assert_eq!(bytes, to.len() as u64);
        to
    }

    fn read(key: &BackupKey, bytes: &[u8]) -> Result<Vec<Vec<u8>>, BackupError> {
        let mut from = bytes.get(HEADER.len()..).expect("a header");
        let mut reader = ItemReader::new(&mut from, key, HEADER);
        let mut rows = Vec::new();
        while reader.peek()?.is_some() {
            rows.push(reader.next(Kind::Row)?.to_vec());
        }
        reader.end()?;
        Ok(rows)
    }

    #[test]
    fn items_come_back_whatever_their_size_and_the_frames() {
        let key = BackupKey::generate(&SystemRandom).expect("random");
        let item = |bytes: usize| vec![7; bytes];
        let fits = FRAME_BYTES - ITEM_HEAD_BYTES;
        for sizes in [vec![0], vec![1, 2, 3], vec![fits], vec![fits, 0], vec![fits + 1, 3 * FRAME_BYTES, 1]] {
            let rows: Vec<_> = sizes.iter().map(|bytes| item(*bytes)).collect();
            assert_eq!(read(&key, &written(&key, &rows)).expect("whole"), rows, "{sizes:?}");
        }
    }

    #[test]
    fn a_backup_that_is_cut_anywhere_or_goes_on_is_refused_as_that() {
        let key = BackupKey::generate(&SystemRandom).expect("random");
        let whole = written(&key, &[vec![1; 10], vec![2; FRAME_BYTES]]);
        for end in HEADER.len()..whole.len() {
            // Every length near a boundary, and a few others.
            if end > 100 && whole.len() - end > 100 && end % 4099 != 0 {
                continue;
            }
            let cut = read(&key, whole.get(..end).expect("shorter"));
            assert!(matches!(cut, Err(BackupError::Truncated)), "{end}");
        }
        let longer = [whole, vec![0]].concat();
        assert!(matches!(read(&key, &longer), Err(BackupError::Trailing)));
    }

    #[test]
    fn the_largest_item_is_the_largest() {
        let mut to = Vec::new();
        let key = BackupKey::generate(&SystemRandom).expect("random");
        let mut writer = ItemWriter::begin(&mut to, &key, HEADER).expect("begun");
        assert!(writer.item(Kind::Row, &vec![0; MAX_ITEM_BYTES + 1]).is_err());
    }
}
