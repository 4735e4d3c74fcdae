//! Exports: a log, or a part of it, in one file that an auditor verifies without the vault. JSON lines, format 1:
//!
//! ```text
//! {"header": {format, version, checkpoint, start, end, complete}}
//! {"tile":   {level, index, hashes}}              the right edge of the tree, highest level first: it gives the root
//! {"tile":   {level, index, hashes}}              a full tile, whose root is a hash of a tile above that came before
//! {"record": {index, blinding, event}}            a record, whose leaf is a hash of the tile of level 0 above it
//! {"end":    {records}}
//! ```
//!
//! Hashes come before what they prove. So a verifier reads the file once, keeps one tile of each level, and knows at each
//! record whether it is the one that the checkpoint covers. Tiles are only there where records are.

mod finding;
mod history;
mod json;
mod line;
mod tree;
mod verifier;
mod writer;

pub use finding::{Fault, Finding};
pub use line::MAX_LINE_BYTES;
pub use verifier::{VerifiedExport, Verifier};
pub use writer::{ExportWriter, Selection};
