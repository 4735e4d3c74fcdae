//! What a log and a witness say to each other: the bodies of C2SP tlog-witness, `POST …/add-checkpoint`. Sends nothing.

use std::fmt;

use crate::checkpoint::decimal;
use crate::{CheckpointError, Hash, MAX_TREE_SIZE, NoteError, NoteSignature, SignedCheckpoint};

/// The most lines of a proof that a witness accepts.
const MAX_PROOF_LINES: usize = 63;

/// A request to a witness: the latest checkpoint, and its consistency with the one that the witness has cosigned last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddCheckpoint {
    /// The size that the witness has cosigned last; 0 if none, or if the log does not know.
    pub old_size: u64,
    /// The consistency proof from that size; empty from size 0.
    pub proof: Vec<Hash>,
    /// The checkpoint to cosign.
    pub checkpoint: SignedCheckpoint,
}

/// Why the body of a request is not what a witness reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddCheckpointError {
    /// The lines before the checkpoint break their rules.
    #[error(
        "the request must be a line `old SIZE`, at most 63 lines of Base64 hashes, an empty line, a checkpoint"
    )]
    Lines,
    /// The old size is above that of the checkpoint.
    #[error("the old size must not be above the checkpoint's size")]
    Sizes,
    /// The rest is not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl AddCheckpoint {
    /// Parses the body of a request, as a witness does. Verifies neither signature nor proof.
    ///
    /// # Errors
    /// The rule that the body breaks.
    pub fn parse(body: &str) -> Result<Self, AddCheckpointError> {
        let (lines, checkpoint) = body.split_once("\n\n").ok_or(AddCheckpointError::Lines)?;
        let mut lines = lines.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old_size = old.ok_or(AddCheckpointError::Lines)?;
        let proof: Option<Vec<Hash>> = lines.map(Hash::from_base64).collect();
        let proof = proof.filter(|proof| proof.len() <= MAX_PROOF_LINES).ok_or(AddCheckpointError::Lines)?;
        let checkpoint = SignedCheckpoint::parse(checkpoint)?;
        if old_size > checkpoint.unverified().size {
            return Err(AddCheckpointError::Sizes);
        }
        Ok(Self { old_size, proof, checkpoint })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// What a witness has answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WitnessAnswer {
    /// The witness has cosigned. [`crate::Trust::accept_cosignatures`] verifies the signatures.
    Cosigned(Vec<NoteSignature>),
    /// The witness has cosigned another size last: ask again with a proof from there.
    OtherSize(u64),
    /// The witness refuses for good: asking again in the same way is of no use.
    Refused(u16),
    /// The witness is not working: ask again later.
    Unavailable(u16),
}

/// Why an answer is not one of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessAnswerError {
    /// The body of an answer with status 200 must be signature lines.
    #[error(transparent)]
    Signatures(#[from] NoteError),
    /// The body of an answer with status 409 must be a size.
    #[error("the witness's answer with status 409 must be a size and a line break")]
    Size,
}

impl WitnessAnswer {
    /// Reads status and body of an answer.
    ///
    /// # Errors
    /// The body does not fit the status.
    pub fn parse(status: u16, body: &str) -> Result<Self, WitnessAnswerError> {
        match status {
            200 => Ok(Self::Cosigned(NoteSignature::parse_lines(body)?)),
            409 => {
                let size = body.strip_suffix('\n').and_then(decimal).filter(|size| *size <= MAX_TREE_SIZE);
                size.map(Self::OtherSize).ok_or(WitnessAnswerError::Size)
            }
            408 | 429 | 500.. => Ok(Self::Unavailable(status)),
            other => Ok(Self::Refused(other)),
        }
    }
}
