//! Verification of proofs: the algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2. A verifier needs no tiles.

use crate::Hash;

/// Why a proof does not verify.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProofError {
    /// The index is not below the size of the tree.
    #[error("the index must be below the tree's size")]
    Index,
    /// The earlier tree is larger than the later one.
    #[error("the earlier tree must not be larger than the later one")]
    Sizes,
    /// The proof has too few or too many hashes for these sizes.
    #[error("the proof must have exactly the number of hashes that the sizes ask for")]
    Length,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root of the tree")]
    Root,
    /// The hashes do not lead to the root of the earlier tree.
    #[error("the proof does not lead to the root of the earlier tree")]
    EarlierRoot,
}

/// Verifies that `leaf` is at `index` of the tree with this size and root.
///
/// # Errors
/// The rule that the proof breaks.
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index);
    }
    let mut at = Place { index, last: size - 1 };
    let mut hash = leaf;
    for step in proof {
        hash = if at.climb()? { Hash::of_node(*step, hash) } else { Hash::of_node(hash, *step) };
    }
    at.finish()?;
    if hash == root { Ok(()) } else { Err(ProofError::Root) }
}

/// Verifies that the earlier tree is the beginning of the later one. Each tree is its size and its root.
///
/// # Errors
/// The rule that the proof breaks.
pub fn verify_consistency(
    (earlier_size, earlier_root): (u64, Hash),
    (size, root): (u64, Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    if earlier_size > size {
        return Err(ProofError::Sizes);
    }
    if earlier_size == 0 || earlier_size == size {
        let expected = if size == earlier_size { root } else { Hash::of_empty_tree() };
        return match (proof, earlier_root == expected) {
            ([], true) => Ok(()),
            ([], false) => Err(ProofError::EarlierRoot),
            ([_, ..], _) => Err(ProofError::Length),
        };
    }
    let mut at = Place { index: earlier_size - 1, last: size - 1 };
    at.skip_right();
    // The earlier tree may be a complete subtree of the later one. The verifier then has the first hash already.
    let (first, steps) = match proof.split_first() {
        _ if earlier_size.is_power_of_two() => (earlier_root, proof),
        Some((first, steps)) => (*first, steps),
        None => return Err(ProofError::Length),
    };
    let (mut earlier, mut later) = (first, first);
    for step in steps {
        if at.climb()? {
            earlier = Hash::of_node(*step, earlier);
            later = Hash::of_node(*step, later);
        } else {
            later = Hash::of_node(later, *step);
        }
    }
    at.finish()?;
    match (earlier == earlier_root, later == root) {
        (true, true) => Ok(()),
        (false, _) => Err(ProofError::EarlierRoot),
        (true, false) => Err(ProofError::Root),
    }
}

/// A place on the path to the root: the index of a node in its level, and that of the last node there.
struct Place {
    index: u64,
    last: u64,
}

impl Place {
    /// Climbs one step. Whether the step's hash belongs on the left.
    fn climb(&mut self) -> Result<bool, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Length);
        }
        let left = self.index % 2 == 1 || self.index == self.last;
        if left {
            // A last node without a partner rises unchanged.
            while self.index != 0 && self.index.is_multiple_of(2) {
                self.up();
            }
        }
        self.up();
        Ok(left)
    }

    /// Climbs while the node is a right one: the earlier tree ends there with a complete subtree.
    fn skip_right(&mut self) {
        while self.index % 2 == 1 {
            self.up();
        }
    }

    fn up(&mut self) {
        self.index /= 2;
        self.last /= 2;
    }

    fn finish(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::Length) }
    }
}
