//! The part of a tree that a verifier holds: the tiles of the right edge, and one full tile of each level. It says of each
//! tile whether it fits what came before; the verifier decides what that means.

use crate::tile::complete_root;
use crate::{Hash, Plan, TILE_WIDTH, TileId, Tiles};

/// The hashes of one tree that an export has given so far.
pub(super) struct Tree {
    size: u64,
    edge: Tiles,
    /// The full tile that came last, for each level.
    open: Vec<Option<(u64, Vec<Hash>)>>,
}

impl Tree {
    /// The tree of this size, with its edge.
    pub(super) fn new(size: u64, edge: Tiles) -> Self {
        let levels = TileId::edge_of(size).first().map_or(0, |top| usize::from(top.level) + 1);
        Self { size, edge, open: vec![None; levels] }
    }

    /// Whether the edge leads to a root.
    pub(super) fn leads_to(&self, root: Hash) -> bool {
        Plan::root(self.size).hashes(&self.edge).is_ok_and(|hashes| hashes == [root])
    }

    /// Takes a full tile. Whether its hashes lead to the one above, or `None` if it is no full tile of this tree, the tile
    /// above it did not come before, or it did not come after its left neighbours.
    pub(super) fn open(&mut self, tile: TileId, hashes: Vec<Hash>) -> Option<bool> {
        let expected = self.hash(tile.level.checked_add(1)?, tile.index)?;
        if hashes.len() != TILE_WIDTH {
            return None;
        }
        let open = self.open.get_mut(usize::from(tile.level))?;
        if open.as_ref().is_some_and(|(before, _)| *before >= tile.index) {
            return None;
        }
        let fits = complete_root(&hashes) == Some(expected);
        *open = Some((tile.index, hashes));
        Some(fits)
    }

    /// The hash over the `index`th `256^level` leaves, if a tile that is here holds it.
    pub(super) fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        let tile = TileId { level, index: index / TILE_WIDTH as u64 };
        let place = usize::try_from(index % TILE_WIDTH as u64).ok()?;
        if let Ok(hashes) = self.edge.hashes(tile, tile.width_in(self.size)) {
            return hashes.get(place).copied();
        }
        let (open, hashes) = self.open.get(usize::from(level))?.as_ref()?;
        hashes.get(place).copied().filter(|_| *open == tile.index)
    }

    /// The number of levels of tiles.
    pub(super) fn levels(&self) -> u8 {
        u8::try_from(self.open.len()).unwrap_or(u8::MAX)
    }
}
