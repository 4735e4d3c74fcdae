//! The provable log of each tenant: what a record's bytes are, the Merkle tree over them, the checkpoints that the vault
//! signs, the proofs that follow, and the verification of an exported file without the vault.
//!
//! ```text
//! Record ──encode──► RecordBytes ──with a blinding of its bundle──► Entry ──► leaf hash
//!                                                                               │
//!        Bundle (256 entries, sealed by the store)        Frontier, tiles of 256 hashes (in clear)
//!                                                                               │
//!        Plan: which tiles a proof needs ──► proof        Checkpoint ──signed──► SignedCheckpoint ──► witnesses
//! ```
//!
//! Nothing here reads a clock, a file, a database or the network: callers bring bytes and take bytes. `README.md` beside
//! this crate says what the log proves and what it does not.

mod hash;
mod record;
mod record_bytes;

mod bundle;
mod entry;

mod frontier;
mod plan;
mod proof;
mod tile;

mod log;

mod checkpoint;
mod key;
mod note;
mod origin;
mod trust;
mod witness;

mod record_proof;

mod export;

pub use bundle::{Bundle, BundleError, BundleSeed};
pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use entry::{Blinding, Entry, EntryError};
pub use export::{ExportWriter, Fault, Finding, MAX_LINE_BYTES, Selection, VerifiedExport, Verifier};
pub use frontier::{Frontier, FrontierError, TileGrowth};
pub use hash::Hash;
pub use key::{KeyError, KeyKind, SigningKey, VerifierKey};
pub use log::{Appended, TenantLog};
pub use note::{NoteError, NoteSignature, SignedNote};
pub use origin::{Origin, OriginError};
pub use plan::Plan;
pub use proof::{ProofError, verify_consistency, verify_inclusion};
pub use record::{Record, RecordError};
pub use record_bytes::{MAX_RECORD_BYTES, RecordBytes, RecordTooLong};
pub use record_proof::{RecordProof, RecordProofError, VerifiedRecord};
pub use tile::{MAX_TREE_SIZE, TILE_WIDTH, TileError, TileId, Tiles, TilesMissing};
pub use trust::{Cosigner, Trust, TrustError, VerifiedCheckpoint};
pub use witness::{AddCheckpoint, AddCheckpointError, WitnessAnswer, WitnessAnswerError};
