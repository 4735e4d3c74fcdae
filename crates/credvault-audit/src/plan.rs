//! Proofs from tiles, in two steps: a plan names the tiles that a proof needs, the caller reads them in its own way, and the
//! plan computes the proof from them.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::tile::complete_root;
use crate::{Hash, TileId, Tiles, TilesMissing};

/// What a proof consists of: one hash for each range of leaves. Ranges are those of RFC 6962, so each begins where its whole
/// subtree does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan(Vec<Range<u64>>);

/// A complete subtree of `2^height` leaves, the `index`th of them.
struct Node {
    height: u32,
    index: u64,
}

impl Plan {
    /// The root of a tree: one hash.
    pub fn root(size: u64) -> Self {
        Self(std::iter::once(0..size).collect())
    }

    /// The proof that a leaf is in a tree (RFC 6962, section 2.1.1). `None` if the tree has no such leaf.
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let (mut start, mut end, mut parts) = (0, size, Vec::new());
        while end - start > 1 {
            let middle = start + left_size(end - start);
            if index < middle {
                parts.push(middle..end);
                end = middle;
            } else {
                parts.push(start..middle);
                start = middle;
            }
        }
        parts.reverse();
        Some(Self(parts))
    }

    /// The proof that a tree is the beginning of a later one (RFC 6962, section 2.1.2): no hash at all if the earlier tree is
    /// empty or both are the same. `None` if the earlier tree is larger.
    pub fn consistency(earlier: u64, later: u64) -> Option<Self> {
        if earlier > later {
            return None;
        }
        if earlier == 0 {
            return Some(Self(Vec::new()));
        }
        let (mut start, mut end, mut parts) = (0, later, Vec::new());
        while earlier != end {
            let middle = start + left_size(end - start);
            if earlier <= middle {
                parts.push(middle..end);
                end = middle;
            } else {
                parts.push(start..middle);
                start = middle;
            }
        }
        // The verifier has the root of the earlier tree, but not that of a part of it.
        if start > 0 {
            parts.push(start..end);
        }
        parts.reverse();
        Some(Self(parts))
    }

    /// The complete subtrees that make up a tree, largest first.
    pub(crate) fn peaks(size: u64) -> Self {
        let range = |node: Node| node.index << node.height..(node.index + 1) << node.height;
        Self(nodes(&(0..size)).into_iter().map(range).collect())
    }

    /// The tiles that the plan needs, each once.
    pub fn tiles(&self) -> Vec<TileId> {
        let needed: BTreeSet<_> = self.0.iter().flat_map(nodes).map(|node| node.place().0).collect();
        needed.into_iter().collect()
    }

    /// The hashes of the proof, from the tiles. Tiles that are wrong give a proof that does not verify.
    ///
    /// # Errors
    /// A tile is missing or too short.
    pub fn hashes(&self, tiles: &Tiles) -> Result<Vec<Hash>, TilesMissing> {
        self.0.iter().map(|range| hash(range, tiles)).collect()
    }
}

impl Node {
    /// The tile that the node's hash can be computed from, and the part of it.
    fn place(&self) -> (TileId, Range<usize>) {
        let below = self.height % 8;
        let first = self.index << below;
        let start = usize::try_from(first % 256).unwrap_or(0);
        let tile = TileId { level: u8::try_from(self.height / 8).unwrap_or(u8::MAX), index: first / 256 };
        (tile, start..start + (1 << below))
    }

    fn hash(&self, tiles: &Tiles) -> Result<Hash, TilesMissing> {
        let (tile, part) = self.place();
        let hashes = tiles.hashes(tile, part.end)?;
        hashes.get(part).and_then(complete_root).ok_or(TilesMissing(tile))
    }
}

/// The hash of a range of leaves: complete subtrees, joined from the right (RFC 6962, section 2.1).
fn hash(range: &Range<u64>, tiles: &Tiles) -> Result<Hash, TilesMissing> {
    let mut joined = None;
    for node in nodes(range).iter().rev() {
        let hash = node.hash(tiles)?;
        joined = Some(joined.map_or(hash, |right| Hash::of_node(hash, right)));
    }
    Ok(joined.unwrap_or_else(Hash::of_empty_tree))
}

/// The complete subtrees of a range, largest first.
fn nodes(range: &Range<u64>) -> Vec<Node> {
    let (mut start, mut nodes) = (range.start, Vec::new());
    while let Some(largest) = range.end.saturating_sub(start).checked_ilog2() {
        let height = largest.min(start.trailing_zeros());
        nodes.push(Node { height, index: start >> height });
        start += 1 << height;
    }
    nodes
}

/// The number of leaves on the left below a node: the largest power of two that is smaller than the number below it.
fn left_size(leaves: u64) -> u64 {
    leaves.next_power_of_two() / 2
}
