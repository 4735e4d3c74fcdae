//! Whether the trees of earlier checkpoints are beginnings of the exported one. Follows the tree from the left, by the largest
//! hashes that the export gives, and compares the root at each earlier size.

use super::tree::Tree;
use crate::{Checkpoint, Frontier};

/// Earlier checkpoints that are still to be compared, smallest first.
pub(super) struct History {
    frontier: Frontier,
    waiting: Vec<Checkpoint>,
    /// The sizes whose roots the export has led to.
    pub(super) confirmed: Vec<u64>,
    /// The sizes that the export has no hashes for.
    pub(super) unknown: Vec<u64>,
}

impl History {
    pub(super) fn new(mut earlier: Vec<Checkpoint>) -> Self {
        // The next one is taken from the end.
        earlier.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.size));
        let (confirmed, unknown) = (Vec::new(), Vec::new());
        Self { frontier: Frontier::default(), waiting: earlier, confirmed, unknown }
    }

    /// Follows the tree up to `leaf`. The error is the size of an earlier tree that is no beginning of this one.
    pub(super) fn follow(&mut self, tree: &Tree, leaf: u64) -> Result<(), u64> {
        while let Some(next) = self.waiting.last().filter(|next| next.size <= leaf) {
            let (size, root) = (next.size, next.root);
            self.waiting.pop();
            if !self.reach(tree, size) {
                self.unknown.push(size);
            } else if self.frontier.root() == root {
                self.confirmed.push(size);
            } else {
                return Err(size);
            }
        }
        // Without an earlier tree to compare, the way there is of no interest.
        if !self.waiting.is_empty() {
            self.reach(tree, leaf);
        }
        Ok(())
    }

    /// Whether the frontier could be moved to `size` exactly.
    fn reach(&mut self, tree: &Tree, size: u64) -> bool {
        while self.frontier.size() < size {
            let at = self.frontier.size();
            let step = (0..tree.levels()).rev().find_map(|level| {
                let height = 8 * u32::from(level);
                let fits = at.trailing_zeros() >= height && at + (1 << height) <= size;
                fits.then(|| tree.hash(level, at >> height)).flatten().map(|hash| (height, hash))
            });
            let Some((height, hash)) = step else { return false };
            self.frontier.append_subtree(height, hash);
        }
        self.frontier.size() == size
    }
}
