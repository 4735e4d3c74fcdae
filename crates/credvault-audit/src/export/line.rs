//! The lines of an export as types. What they do not know is refused: nothing unproved rides along.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::json::Event;
use crate::tile::{bytes_of, hashes_of};
use crate::{Blinding, Hash, TileId};

/// The longest line of an export, in bytes. A reader may refuse longer ones before it has read them.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// The name of the format, in the header.
pub(super) const FORMAT: &str = "credvault-audit-export";
/// The version of the format, in the header.
pub(super) const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Line {
    Header(Header),
    Tile(TileLine),
    Record(Box<RecordLine>),
    End(End),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    /// The signed checkpoint that all hashes lead to.
    pub(super) checkpoint: String,
    /// The first index of the part of the log that the export is about.
    pub(super) start: u64,
    /// The index after the last of that part.
    pub(super) end: u64,
    /// Whether every record of that part is here; otherwise those that matched a filter.
    pub(super) complete: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TileLine {
    pub(super) level: u8,
    pub(super) index: u64,
    hashes: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordLine {
    pub(super) index: u64,
    blinding: String,
    pub(super) event: Event,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// How many records the export has.
    pub(super) records: u64,
}

impl Line {
    /// The line without its line break.
    pub(super) fn to_text(&self) -> String {
        // Only maps with keys that are no texts, and failing implementations, cannot be written; there are none.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LINE_BYTES {
            return None;
        }
        serde_json::from_str(text).ok()
    }
}

impl TileLine {
    pub(super) fn new(tile: TileId, hashes: &[Hash]) -> Self {
        Self { level: tile.level, index: tile.index, hashes: STANDARD.encode(bytes_of(hashes)) }
    }

    pub(super) fn tile(&self) -> TileId {
        TileId { level: self.level, index: self.index }
    }

    pub(super) fn hashes(&self) -> Option<Vec<Hash>> {
        hashes_of(&STANDARD.decode(&self.hashes).ok()?).ok()
    }
}

impl RecordLine {
    pub(super) fn new(index: u64, blinding: Blinding, event: Event) -> Self {
        Self { index, blinding: STANDARD.encode(blinding.to_bytes()), event }
    }

    pub(super) fn blinding(&self) -> Option<Blinding> {
        Some(Blinding::from_bytes(STANDARD.decode(&self.blinding).ok()?.try_into().ok()?))
    }
}
