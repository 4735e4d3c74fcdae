//! Whose signatures a verifier accepts: keys of logs, and witnesses of which some number must have cosigned.

use std::collections::BTreeSet;

use crate::checkpoint::cosigned;
use crate::{Checkpoint, KeyKind, NoteSignature, Origin, SignedCheckpoint, VerifierKey};

const TIME_BYTES: usize = 8;

/// The keys that a verifier was given by people it trusts.
#[derive(Clone, Debug)]
pub struct Trust {
    keys: Vec<VerifierKey>,
    witnesses_needed: usize,
}

/// A checkpoint whose signatures were verified. Only [`Trust::verify`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    cosigners: Vec<Cosigner>,
}

/// A witness that has cosigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosigner {
    /// The name of the witness.
    pub name: Origin,
    /// When it had verified the log, in seconds since 1970.
    pub time: u64,
}

/// Why a checkpoint is not to be believed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// No key of the verifier has signed.
    #[error("the checkpoint must be signed by one of the given keys, whose name is the log's origin")]
    NoSignature,
    /// A key of the verifier is named by a signature that is not its own.
    #[error("the signature of the key {name} must verify: the checkpoint was altered")]
    BadSignature {
        /// The name of the key.
        name: Origin,
    },
    /// Too few witnesses have cosigned.
    #[error("the checkpoint must be cosigned by {needed} of the given witnesses and is by {found}")]
    Witnesses {
        /// How many the verifier asks for.
        needed: usize,
        /// How many have cosigned.
        found: usize,
    },
}

impl Trust {
    /// Trusts any one of the keys of logs, and asks that at least `witnesses_needed` of the keys of witnesses have cosigned.
    pub fn new(keys: Vec<VerifierKey>, witnesses_needed: usize) -> Self {
        Self { keys, witnesses_needed }
    }

    /// Verifies the signatures of all known keys, and that they are enough. Ignores unknown keys.
    ///
    /// # Errors
    /// The rule that the signatures break.
    pub fn verify(&self, signed: &SignedCheckpoint) -> Result<VerifiedCheckpoint, TrustError> {
        let (mut is_signed, mut cosigners, mut public_keys) = (false, Vec::new(), BTreeSet::new());
        let origin = &signed.unverified().origin;
        for signature in signed.note().signatures() {
            for key in self.known(signature) {
                let time = verify(key, signature, signed)?;
                match time {
                    None => is_signed |= key.name() == origin,
                    // A witness counts once, under however many names its key was given.
                    Some(time) if public_keys.insert(key.public_key()) => {
                        cosigners.push(Cosigner { name: key.name().clone(), time });
                    }
                    Some(_) => {}
                }
            }
        }
        if !is_signed {
            return Err(TrustError::NoSignature);
        }
        if cosigners.len() < self.witnesses_needed {
            return Err(TrustError::Witnesses { needed: self.witnesses_needed, found: cosigners.len() });
        }
        Ok(VerifiedCheckpoint { checkpoint: signed.unverified().clone(), cosigners })
    }

    /// Adds those of a witness's signatures to a checkpoint that known witnesses have made. Returns how many.
    ///
    /// # Errors
    /// A known witness's signature does not verify. Nothing was added.
    pub fn accept_cosignatures(
        &self,
        signed: &mut SignedCheckpoint,
        cosignatures: Vec<NoteSignature>,
    ) -> Result<usize, TrustError> {
        let mut accepted = Vec::new();
        for signature in cosignatures {
            let mut is_cosignature = false;
            for key in self.known(&signature) {
                is_cosignature |= verify(key, &signature, signed)?.is_some();
            }
            accepted.extend(is_cosignature.then_some(signature));
        }
        let count = accepted.len();
        accepted.into_iter().for_each(|signature| signed.add(signature));
        Ok(count)
    }

    fn known(&self, signature: &NoteSignature) -> impl Iterator<Item = &VerifierKey> {
        let names = |key: &&VerifierKey| *key.name() == signature.name && key.id() == signature.key_id;
        self.keys.iter().filter(names)
    }
}

impl VerifiedCheckpoint {
    /// What the checkpoint says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The witnesses that have cosigned, each once.
    pub fn cosigners(&self) -> &[Cosigner] {
        &self.cosigners
    }
}

/// Verifies one signature of a known key. The time is that of a cosignature.
fn verify(
    key: &VerifierKey,
    signature: &NoteSignature,
    signed: &SignedCheckpoint,
) -> Result<Option<u64>, TrustError> {
    let bad = || TrustError::BadSignature { name: key.name().clone() };
    let text = signed.note().text();
    match key.kind() {
        KeyKind::Log if key.verifies(text.as_bytes(), &signature.signature) => Ok(None),
        KeyKind::Log => Err(bad()),
        KeyKind::Witness => {
            let (time, made) = signature.signature.split_first_chunk::<TIME_BYTES>().ok_or_else(bad)?;
            let time = u64::from_be_bytes(*time);
            // A time of zero says nothing about the latest state, and the specification ends at 2^63 - 1.
            let is_time = time != 0 && i64::try_from(time).is_ok();
            let verifies = is_time && key.verifies(cosigned(time, text).as_bytes(), made);
            if verifies { Ok(Some(time)) } else { Err(bad()) }
        }
    }
}
