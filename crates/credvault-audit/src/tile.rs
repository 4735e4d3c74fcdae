//! Tiles: 256 neighbouring hashes of one level, as C2SP tlog-tiles has them. A tile of level 0 holds leaves; each hash of a
//! tile above is the root of a full tile below. The last tile of a level may be partial; it only ever grows at its end.
//!
//! ```text
//! tile (level, index), hash i  =  root of the leaves  [(index * 256 + i) * 256^level, … + 256^level)
//! ```

use std::collections::BTreeMap;
use std::fmt;

use crate::Hash;

/// The number of hashes of a full tile, and of entries of a full bundle.
pub const TILE_WIDTH: usize = 256;
/// The most leaves that a tree may have. No log reaches it; the bound keeps all arithmetic far from overflow.
pub const MAX_TREE_SIZE: u64 = (1 << 48) - 1;

/// Which tile: its level, counted from the leaves, and its place in the level, counted from the oldest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TileId {
    /// The level: 0 holds leaves.
    pub level: u8,
    /// The place within the level.
    pub index: u64,
}

impl TileId {
    /// The partial tiles at the right edge of a tree, the highest level first. Together they determine the root.
    pub fn edge_of(size: u64) -> Vec<Self> {
        let levels = (0..6).rev().map(|level| Self { level, index: size >> (8 * (u32::from(level) + 1)) });
        levels.filter(|tile| tile.width_in(size) > 0).collect()
    }

    /// How many hashes the tile has in a tree of `size` leaves, 0 to 256.
    pub fn width_in(self, size: u64) -> usize {
        let hashes = size.checked_shr(8 * u32::from(self.level)).unwrap_or(0);
        let before = self.index.saturating_mul(TILE_WIDTH as u64);
        usize::try_from(hashes.saturating_sub(before)).unwrap_or(TILE_WIDTH).min(TILE_WIDTH)
    }

    /// The index after the last leaf below the tile once it is full. No proof that concerns leaves and trees from an index on
    /// needs tiles that end there or before: retention may delete them.
    pub fn end(self) -> u64 {
        let leaves = 1_u64.checked_shl(8 * (u32::from(self.level) + 1)).unwrap_or(u64::MAX);
        self.index.saturating_add(1).saturating_mul(leaves)
    }

    /// The index of the first leaf below the tile.
    pub(crate) fn first_leaf(self) -> u64 {
        self.index << (8 * (u32::from(self.level) + 1))
    }

    /// The tile at `level` on the path to a leaf.
    pub(crate) fn above(leaf: u64, level: u8) -> Self {
        Self { level, index: leaf >> (8 * (u32::from(level) + 1)) }
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile {} of level {}", self.index, self.level)
    }
}

/// The bytes are not those of a tile.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a tile must have 1 to 256 hashes of 32 bytes")]
pub struct TileError;

/// A tile that a proof needs was not given, or is too short for the size of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} is needed, in the width that the tree's size gives it")]
pub struct TilesMissing(pub TileId);

/// Tiles that a caller has read, for proofs to be computed from. They are not verified.
#[derive(Clone, Default, Debug)]
pub struct Tiles(BTreeMap<TileId, Vec<Hash>>);

impl Tiles {
    /// Adds a tile, as it is stored: its hashes one after the other. It may be wider than the tree in question had it.
    ///
    /// # Errors
    /// The bytes are not 1 to 256 whole hashes.
    pub fn insert(&mut self, tile: TileId, bytes: &[u8]) -> Result<(), TileError> {
        self.0.insert(tile, hashes_of(bytes)?);
        Ok(())
    }

    /// The first `width` hashes of a tile.
    ///
    /// # Errors
    /// The tile is not there, or has fewer.
    pub fn hashes(&self, tile: TileId, width: usize) -> Result<&[Hash], TilesMissing> {
        self.0.get(&tile).and_then(|hashes| hashes.get(..width)).ok_or(TilesMissing(tile))
    }

    /// Adds the hashes of a tile.
    pub(crate) fn set(&mut self, tile: TileId, hashes: Vec<Hash>) {
        self.0.insert(tile, hashes);
    }
}

/// The hashes of a tile's bytes.
pub(crate) fn hashes_of(bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<{ Hash::BYTES }>();
    if !rest.is_empty() || !(1..=TILE_WIDTH).contains(&hashes.len()) {
        return Err(TileError);
    }
    Ok(hashes.iter().map(|bytes| Hash::from_bytes(*bytes)).collect())
}

/// Hashes as a tile's bytes.
pub(crate) fn bytes_of(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.to_bytes()).collect()
}

/// The root of a complete subtree whose hashes are given: their number must be a power of two.
pub(crate) fn complete_root(hashes: &[Hash]) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| Hash::of_node(*left, *right)).collect();
    }
    row.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_specification() {
        let width = |level, index| TileId { level, index }.width_in(70_000);
        assert_eq!((width(0, 272), width(0, 273), width(0, 274)), (256, 112, 0));
        assert_eq!((width(1, 0), width(1, 1), width(1, 2)), (256, 17, 0));
        assert_eq!((width(2, 0), width(2, 1), width(3, 0)), (1, 0, 0));
        let edge: Vec<_> = TileId::edge_of(70_000).iter().map(|tile| (tile.level, tile.index)).collect();
        assert_eq!(edge, [(2, 0), (1, 1), (0, 273)]);
        let full: Vec<_> = TileId::edge_of(256).iter().map(|tile| (tile.level, tile.index)).collect();
        assert_eq!(full, [(1, 0)]);
        assert_eq!(TileId::edge_of(0), []);
        assert_eq!(TileId::edge_of(MAX_TREE_SIZE).len(), 6);
    }

    #[test]
    fn only_whole_hashes_make_a_tile() {
        let mut tiles = Tiles::default();
        let tile = TileId { level: 0, index: 0 };
        for length in [0, 31, 33, 257 * 32] {
            assert_eq!(tiles.insert(tile, &vec![0; length]), Err(TileError), "{length} bytes");
        }
        assert_eq!(tiles.insert(tile, &[7; 64]), Ok(()));
        assert_eq!(tiles.hashes(tile, 2).map(<[Hash]>::len), Ok(2));
        assert_eq!(tiles.hashes(tile, 3), Err(TilesMissing(tile)));
    }
}
