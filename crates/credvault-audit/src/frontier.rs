//! The state of a growing tree: its size and the roots of the complete subtrees that it consists of, at most 48 hashes. It is
//! all that appending needs.
//!
//! ```text
//! encoded = size (8, big-endian) || one hash (32) for each bit that is set in size, largest subtree first
//! ```

use std::collections::BTreeMap;

use crate::tile::{bytes_of, hashes_of};
use crate::{Hash, MAX_TREE_SIZE, Plan, TILE_WIDTH, TileId, Tiles, TilesMissing};

/// The frontier of a tree.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

/// What appending adds to one tile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TileGrowth {
    /// The tile that grows.
    pub tile: TileId,
    /// How many hashes the tile had before.
    pub width_before: usize,
    hashes: Vec<Hash>,
}

impl TileGrowth {
    /// The bytes that the tile gets at its end.
    pub fn bytes(&self) -> Vec<u8> {
        bytes_of(&self.hashes)
    }

    /// How many hashes the tile has afterwards, 1 to 256.
    pub fn width(&self) -> usize {
        self.width_before + self.hashes.len()
    }
}

/// The bytes are not those of a frontier.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a frontier must be a size below 2^48 and one hash for each bit that is set in it")]
pub struct FrontierError;

impl Frontier {
    /// The number of leaves of the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let join = |right: Hash, left: &Hash| Hash::of_node(*left, right);
        let mut peaks = self.peaks.iter().rev();
        peaks.next().map_or_else(Hash::of_empty_tree, |last| peaks.fold(*last, join))
    }

    /// Appends leaves in their order. Returns what grows, lower levels first.
    pub fn extend(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<TileGrowth> {
        let mut growth: BTreeMap<TileId, TileGrowth> = BTreeMap::new();
        for leaf in leaves {
            self.add(0, leaf, |height, index, hash| {
                if height % 8 != 0 {
                    return;
                }
                let level = u8::try_from(height / 8).unwrap_or(u8::MAX);
                let tile = TileId { level, index: index / TILE_WIDTH as u64 };
                let width_before = usize::try_from(index % TILE_WIDTH as u64).unwrap_or(0);
                let new = || TileGrowth { tile, width_before, hashes: Vec::new() };
                growth.entry(tile).or_insert_with(new).hashes.push(hash);
            });
        }
        growth.into_values().collect()
    }

    /// Appends a complete subtree of `2^height` leaves. The size must be a multiple of that.
    pub(crate) fn append_subtree(&mut self, height: u32, hash: Hash) {
        self.add(height, hash, |_, _, _| {});
    }

    fn add(&mut self, height: u32, hash: Hash, mut formed: impl FnMut(u32, u64, Hash)) {
        let (mut above, mut index, mut joined) = (height, self.size >> height, hash);
        formed(above, index, joined);
        while index % 2 == 1
            && let Some(left) = self.peaks.pop()
        {
            (above, index, joined) = (above + 1, index / 2, Hash::of_node(left, joined));
            formed(above, index, joined);
        }
        self.peaks.push(joined);
        self.size += 1 << height;
    }

    /// The tiles from which [`Frontier::from_tiles`] makes the frontier of a tree.
    pub fn tiles(size: u64) -> Vec<TileId> {
        Plan::peaks(size).tiles()
    }

    /// The frontier that a tree had at a size, from its tiles.
    ///
    /// # Errors
    /// A tile is missing or too short.
    pub fn from_tiles(size: u64, tiles: &Tiles) -> Result<Self, TilesMissing> {
        Ok(Self { size, peaks: Plan::peaks(size).hashes(tiles)? })
    }

    /// The frontier as it is stored.
    pub fn encode(&self) -> Vec<u8> {
        [self.size.to_be_bytes().as_slice(), &bytes_of(&self.peaks)].concat()
    }

    /// Reads what [`Frontier::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are not of that form.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrontierError> {
        let (size, peaks) = bytes.split_first_chunk().ok_or(FrontierError)?;
        let size = u64::from_be_bytes(*size);
        let peaks =
            if peaks.is_empty() { Vec::new() } else { hashes_of(peaks).map_err(|_| FrontierError)? };
        if size > MAX_TREE_SIZE || peaks.len() != size.count_ones() as usize {
            return Err(FrontierError);
        }
        Ok(Self { size, peaks })
    }
}
