//! The proof of one record in a file of its own, in the form of C2SP tlog-proof: the entry, its index, the inclusion proof and
//! the checkpoint. A service keeps it to prove later that its call was recorded.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::decimal;
use crate::{
    CheckpointError, Entry, Hash, ProofError, RecordBytes, SignedCheckpoint, Trust, TrustError,
    VerifiedCheckpoint, verify_inclusion,
};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A record with the proof that it is in the log. Not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordProof {
    /// The record with its blinding, which the file carries as its extra data.
    pub entry: Entry,
    /// The place of the record in the log.
    pub index: u64,
    /// The inclusion proof, from the leaf to the root.
    pub proof: Vec<Hash>,
    /// The checkpoint of the tree that the proof leads to.
    pub checkpoint: SignedCheckpoint,
}

/// A record that is in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedRecord {
    /// The place of the record in the log.
    pub index: u64,
    /// The record that is proved.
    pub record: RecordBytes,
    /// The checkpoint that covers it.
    pub checkpoint: VerifiedCheckpoint,
}

/// Why a text is not the proof of a record, or does not prove it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordProofError {
    /// The lines before the checkpoint break their rules.
    #[error(
        "the proof must be the lines `c2sp.org/tlog-proof@v1`, `extra ENTRY`, `index N`, hashes, an empty line, a checkpoint"
    )]
    Lines,
    /// The rest is not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is not to be believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The record is not at this place of the log.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl RecordProof {
    /// Parses a proof.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, RecordProofError> {
        let (lines, checkpoint) = text.split_once("\n\n").ok_or(RecordProofError::Lines)?;
        let (entry, index, proof) = lines_of(lines).ok_or(RecordProofError::Lines)?;
        Ok(Self { entry, index, proof, checkpoint: SignedCheckpoint::parse(checkpoint)? })
    }

    /// Verifies that the record is in a log that a trusted key has signed.
    ///
    /// # Errors
    /// What is wrong with signatures or proof.
    pub fn verify(self, trust: &Trust) -> Result<VerifiedRecord, RecordProofError> {
        let checkpoint = trust.verify(&self.checkpoint)?;
        let tree = checkpoint.checkpoint();
        verify_inclusion(self.entry.leaf(), self.index, tree.size, &self.proof, tree.root)?;
        Ok(VerifiedRecord { index: self.index, record: self.entry.record, checkpoint })
    }
}

fn lines_of(lines: &str) -> Option<(Entry, u64, Vec<Hash>)> {
    let mut lines = lines.split('\n');
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let entry = STANDARD.decode(lines.next()?.strip_prefix("extra ")?).ok()?;
    let index = decimal(lines.next()?.strip_prefix("index ")?)?;
    let proof = lines.map(Hash::from_base64).collect::<Option<_>>()?;
    Some((Entry::from_bytes(&entry).ok()?, index, proof))
}

impl fmt::Display for RecordProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nextra {}", STANDARD.encode(self.entry.to_bytes()))?;
        writeln!(f, "index {}", self.index)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
