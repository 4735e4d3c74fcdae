//! Checkpoints: origin, size and root of a log, signed, in the form of C2SP tlog-checkpoint. Ours have no further lines, and
//! those that have some are refused: no proof covers what they say.

use std::fmt;

use crate::{Hash, KeyKind, MAX_TREE_SIZE, NoteError, NoteSignature, Origin, SignedNote, SigningKey};

/// The state of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The log that is meant.
    pub origin: Origin,
    /// The number of its leaves.
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
}

/// A checkpoint with signatures that are not verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: SignedNote,
}

/// Why a text is not a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The text is not a signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note's text is not a checkpoint.
    #[error("a checkpoint must be three lines: origin, size without leading zeroes, root in Base64")]
    Lines,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let origin = Origin::parse(lines.next()?).ok()?;
        let size = decimal(lines.next()?).filter(|size| *size <= MAX_TREE_SIZE)?;
        let root = Hash::from_base64(lines.next()?)?;
        let is_possible = size > 0 || root == Hash::of_empty_tree();
        (lines.next().is_none() && is_possible).then_some(Self { origin, size, root })
    }
}

impl SignedCheckpoint {
    /// Signs a checkpoint with each of the keys: two while the signer is replaced.
    pub fn sign(checkpoint: Checkpoint, keys: &[&SigningKey]) -> Self {
        let text = checkpoint.text();
        let line = |key: &&SigningKey| NoteSignature {
            name: checkpoint.origin.clone(),
            key_id: key.verifier(checkpoint.origin.clone(), KeyKind::Log).id(),
            signature: key.sign(text.as_bytes()),
        };
        let signatures = keys.iter().map(line).collect();
        Self { checkpoint, note: SignedNote { text, signatures } }
    }

    /// Parses a checkpoint with its signatures.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let note = SignedNote::parse(text)?;
        let checkpoint = Checkpoint::parse(note.text()).ok_or(CheckpointError::Lines)?;
        Ok(Self { checkpoint, note })
    }

    /// Says, as a witness, that this is the latest state of the log at `time`, in seconds since 1970 (C2SP
    /// tlog-cosignature). The witness must have verified the log's signature and the consistency with what it has seen.
    pub fn cosign(&self, key: &SigningKey, name: Origin, time: u64) -> NoteSignature {
        let key_id = key.verifier(name.clone(), KeyKind::Witness).id();
        let signature = key.sign(cosigned(time, self.note.text()).as_bytes());
        NoteSignature { name, key_id, signature: [time.to_be_bytes().as_slice(), &signature].concat() }
    }

    /// What the checkpoint says, before any signature is verified.
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note that carries the checkpoint.
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// Adds a signature, in place of an earlier one of the same key.
    pub(crate) fn add(&mut self, signature: NoteSignature) {
        let of_key =
            |other: &NoteSignature| (&other.name, other.key_id) == (&signature.name, signature.key_id);
        self.note.signatures.retain(|other| !of_key(other));
        self.note.signatures.push(signature);
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

/// What a witness signs.
pub(crate) fn cosigned(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// A decimal number in its one spelling.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}
