//! The part of a tree that a verifier holds: the tiles of the right edge, and one full tile of each level. All of it is
//! verified.

use crate::tile::complete_root;
use crate::{Checkpoint, Hash, Plan, TILE_WIDTH, TileId, Tiles};

/// Verified hashes of one tree.
pub(super) struct Tree {
    size: u64,
    edge: Tiles,
    /// The full tile that came last, for each level.
    open: Vec<Option<(u64, Vec<Hash>)>>,
}

impl Tree {
    /// The tree of a checkpoint, with its edge. `None` if the edge does not lead to the root.
    pub(super) fn new(checkpoint: &Checkpoint, edge: Tiles) -> Option<Self> {
        let size = checkpoint.size;
        if Plan::root(size).hashes(&edge).ok()? != [checkpoint.root] {
            return None;
        }
        let levels = TileId::edge_of(size).first().map_or(0, |top| usize::from(top.level) + 1);
        Some(Self { size, edge, open: vec![None; levels] })
    }

    /// Takes a full tile. `false` if it is not one of this tree, or the tile above it did not come before.
    pub(super) fn open(&mut self, tile: TileId, hashes: Vec<Hash>) -> bool {
        let expected = tile.level.checked_add(1).and_then(|above| self.hash(above, tile.index));
        let is_full = hashes.len() == TILE_WIDTH;
        let Some(place) = self.open.get_mut(usize::from(tile.level)) else { return false };
        if !is_full || expected.is_none() || complete_root(&hashes) != expected {
            return false;
        }
        *place = Some((tile.index, hashes));
        true
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
