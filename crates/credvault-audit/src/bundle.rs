//! Bundles: the records of 256 neighbouring leaves, or a piece of them, with the seed of their blindings. The store seals them
//! under the tenant's key: without the key, a reader learns neither records nor blindings, and erasing the key ends both.
//!
//! ```text
//! encoded    = version (1) = 1 || seed (32) || place of the first record (1) || number of records (2) || records
//! record     = length (2) || bytes                               numbers are big-endian
//! blinding i = HMAC-SHA256(seed, "credvault/audit/blinding/1" || place in the bundle (1))
//! ```
//!
//! One seed for a bundle instead of 32 bytes for each record: to show one record means to give its blinding, which tells
//! nothing about those of its neighbours. Each bundle has a seed of its own, so that retention, which deletes bundles, ends
//! what can be tested about them, too.

use std::fmt;

use credvault_domain::{Exhausted, Random};
use ring::hmac;
use zeroize::Zeroizing;

use crate::entry::leaf;
use crate::{Blinding, Entry, Hash, RecordBytes, TILE_WIDTH};

const VERSION: u8 = 1;
const LABEL: &[u8] = b"credvault/audit/blinding/1";
const SEED_BYTES: usize = 32;

/// The secret that the blindings of one bundle come from.
#[derive(Clone)]
pub struct BundleSeed {
    bytes: Zeroizing<[u8; SEED_BYTES]>,
    key: hmac::Key,
}

impl BundleSeed {
    /// A new seed for a new bundle.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate(random: &dyn Random) -> Result<Self, Exhausted> {
        let mut bytes = Zeroizing::new([0; SEED_BYTES]);
        random.fill(bytes.as_mut_slice())?;
        Ok(Self::of(bytes))
    }

    fn of(bytes: Zeroizing<[u8; SEED_BYTES]>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice());
        Self { bytes, key }
    }

    fn blinding(&self, place: u8) -> Blinding {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(LABEL);
        context.update(&[place]);
        let mut bytes = [0; Blinding::BYTES];
        bytes.copy_from_slice(context.sign().as_ref());
        Blinding::from_bytes(bytes)
    }
}

impl PartialEq for BundleSeed {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl fmt::Debug for BundleSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BundleSeed")
    }
}

/// Neighbouring records of one bundle. A bundle grows in pieces, which [`Bundle::join`] puts together.
#[derive(Clone, PartialEq, Debug)]
pub struct Bundle {
    seed: BundleSeed,
    start: u8,
    records: Vec<RecordBytes>,
}

/// Why bytes are not a bundle, or pieces do not fit together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The first byte is not a version that this program knows.
    #[error("the bundle has a version that this program does not know: use a later program")]
    Version,
    /// The bytes break the layout.
    #[error("the bundle's bytes must have the layout of version 1, without anything more")]
    Layout,
    /// The second piece is from another bundle, or does not begin where the first one ends.
    #[error("a piece must have the seed of the piece before it and begin where that one ends")]
    Piece,
}

impl Bundle {
    /// A piece without records that begins at a place of its bundle, 0 to 255.
    pub fn begin(seed: BundleSeed, start: u8) -> Self {
        Self { seed, start, records: Vec::new() }
    }

    /// Adds a record at the end and gives its leaf. `None` if the bundle is full.
    pub fn push(&mut self, record: RecordBytes) -> Option<Hash> {
        let place = u8::try_from(self.end()).ok()?;
        let hash = leaf(self.seed.blinding(place), &record);
        self.records.push(record);
        Some(hash)
    }

    /// The place of the first record in the bundle.
    pub fn start(&self) -> usize {
        usize::from(self.start)
    }

    /// The place after the last record, at most 256.
    pub fn end(&self) -> usize {
        self.start() + self.records.len()
    }

    /// The seed, for the pieces of the same bundle that follow.
    pub fn seed(&self) -> &BundleSeed {
        &self.seed
    }

    /// The records in the order of their places.
    pub fn records(&self) -> &[RecordBytes] {
        &self.records
    }

    /// The record at a place of the bundle, with its blinding.
    pub fn entry(&self, place: usize) -> Option<Entry> {
        let record = self.records.get(place.checked_sub(self.start())?)?.clone();
        Some(Entry { blinding: self.seed.blinding(u8::try_from(place).ok()?), record })
    }

    /// Adds the next piece of the same bundle at the end.
    ///
    /// # Errors
    /// It is not the next piece.
    pub fn join(&mut self, next: Self) -> Result<(), BundleError> {
        if next.seed != self.seed || next.start() != self.end() {
            return Err(BundleError::Piece);
        }
        self.records.extend(next.records);
        Ok(())
    }

    /// The bytes to seal. They hold the seed: wipe them.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let records: usize = self.records.iter().map(|record| 2 + record.as_slice().len()).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(4 + SEED_BYTES + records));
        out.push(VERSION);
        out.extend(self.seed.bytes.as_slice());
        out.push(self.start);
        // A bundle has at most 256 records and a record less than 65,536 bytes: both fit into two bytes.
        let number = |out: &mut Vec<u8>, length: usize| {
            out.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        };
        number(&mut out, self.records.len());
        for record in &self.records {
            number(&mut out, record.as_slice().len());
            out.extend(record.as_slice());
        }
        out
    }

    /// Reads what [`Bundle::encode`] wrote.
    ///
    /// # Errors
    /// The rule that the bytes break.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        let (version, rest) = bytes.split_first().ok_or(BundleError::Layout)?;
        if *version != VERSION {
            return Err(BundleError::Version);
        }
        let (seed, rest) = rest.split_first_chunk().ok_or(BundleError::Layout)?;
        let (start, rest) = rest.split_first().ok_or(BundleError::Layout)?;
        let (count, mut rest) = number(rest)?;
        if usize::from(*start) + count > TILE_WIDTH {
            return Err(BundleError::Layout);
        }
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            let (length, after) = number(rest)?;
            let (record, after) = after.split_at_checked(length).ok_or(BundleError::Layout)?;
            records.push(RecordBytes::new(record.to_vec()).map_err(|_| BundleError::Layout)?);
            rest = after;
        }
        let seed = BundleSeed::of(Zeroizing::new(*seed));
        if rest.is_empty() { Ok(Self { seed, start: *start, records }) } else { Err(BundleError::Layout) }
    }
}

fn number(bytes: &[u8]) -> Result<(usize, &[u8]), BundleError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(BundleError::Layout)?;
    Ok((usize::from(u16::from_be_bytes(*number)), rest))
}
