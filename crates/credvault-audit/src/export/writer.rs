//! Writes an export line by line. It names the tiles that must come before a record; the caller reads them, and the records,
//! in its own way. Keeps one number for each level of the tree.

use std::collections::VecDeque;
use std::ops::Range;

use super::json::Event;
use super::line::{End, FORMAT, Header, Line, RecordLine, TileLine, VERSION};
use crate::{Entry, Record, RecordError, SignedCheckpoint, TileId, Tiles, TilesMissing};

/// What an export is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// The part of the log, by index.
    pub range: Range<u64>,
    /// Whether all records of that part will be written, and not only those that match a filter.
    pub is_complete: bool,
}

/// An export that is being written.
#[derive(Debug)]
pub struct ExportWriter {
    checkpoint: SignedCheckpoint,
    selection: Selection,
    /// The sizes of the earlier trees that the export must lead to, too.
    earlier: VecDeque<u64>,
    /// The index of the full tile that was written last, for each level.
    written: Vec<Option<u64>>,
    records: u64,
}

impl ExportWriter {
    /// Begins an export of the log at `checkpoint`. It will prove, too, that the trees of the sizes `earlier` are beginnings of
    /// that tree. `None` if the range or one of these sizes is outside of the tree.
    pub fn begin(checkpoint: SignedCheckpoint, selection: Selection, mut earlier: Vec<u64>) -> Option<Self> {
        let size = checkpoint.unverified().size;
        earlier.sort_unstable();
        let is_inside = selection.range.start <= selection.range.end && selection.range.end <= size;
        if !is_inside || earlier.last().is_some_and(|last| *last > size) {
            return None;
        }
        let written = vec![None; TileId::edge_of(size).first().map_or(0, |top| usize::from(top.level))];
        Some(Self { checkpoint, selection, earlier: earlier.into(), written, records: 0 })
    }

    /// The first line of the export.
    pub fn header_line(&self) -> String {
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            checkpoint: self.checkpoint.to_string(),
            start: self.selection.range.start,
            end: self.selection.range.end,
            complete: self.selection.is_complete,
        };
        Line::Header(header).to_text()
    }

    /// The tiles whose lines follow the header.
    pub fn edge(&self) -> Vec<TileId> {
        TileId::edge_of(self.checkpoint.unverified().size)
    }

    /// The tiles whose lines must come before the record at `index`, in this order. Records come in the order of their
    /// indexes.
    pub fn before(&mut self, index: u64) -> Vec<TileId> {
        let mut tiles = Vec::new();
        while let Some(size) = self.earlier.pop_front_if(|size| *size <= index) {
            tiles.extend(self.path_to_end(size));
        }
        tiles.extend(self.path(index, 0));
        tiles
    }

    /// The tiles whose lines must come after the last record.
    pub fn after(&mut self) -> Vec<TileId> {
        let earlier = std::mem::take(&mut self.earlier);
        earlier.into_iter().flat_map(|size| self.path_to_end(size)).collect()
    }

    /// The tiles that lead to the end of an earlier tree. Where that is the end of a tile, the hash above is enough.
    fn path_to_end(&mut self, size: u64) -> Vec<TileId> {
        let whole_levels = size.trailing_zeros() / 8;
        self.path(size, usize::try_from(whole_levels).unwrap_or(usize::MAX))
    }

    /// The full tiles from a level upwards on the path to a leaf that are not written yet, highest level first.
    fn path(&mut self, leaf: u64, lowest: usize) -> Vec<TileId> {
        let size = self.checkpoint.unverified().size;
        let mut tiles = Vec::new();
        for (level, written) in self.written.iter_mut().enumerate().skip(lowest).rev() {
            let level = u8::try_from(level).unwrap_or(u8::MAX);
            let tile = TileId::above(leaf, level);
            let is_edge = tile.index == TileId::above(size, level).index;
            if !is_edge && *written != Some(tile.index) {
                *written = Some(tile.index);
                tiles.push(tile);
            }
        }
        tiles
    }

    /// The line of a tile. The tile may have grown since the checkpoint.
    ///
    /// # Errors
    /// The tile is missing or too short.
    pub fn tile_line(&self, tile: TileId, tiles: &Tiles) -> Result<String, TilesMissing> {
        let width = tile.width_in(self.checkpoint.unverified().size);
        Ok(Line::Tile(TileLine::new(tile, tiles.hashes(tile, width)?)).to_text())
    }

    /// The line of a record.
    ///
    /// # Errors
    /// The record is of a version that this program does not know, so it cannot be spelled in JSON.
    pub fn record_line(&mut self, index: u64, entry: &Entry) -> Result<String, RecordError> {
        let event = Event::of(Record::decode(&entry.record)?);
        self.records += 1;
        Ok(Line::Record(Box::new(RecordLine::new(index, entry.blinding, event))).to_text())
    }

    /// The last line. An export without it was cut off.
    pub fn end_line(self) -> String {
        Line::End(End { records: self.records }).to_text()
    }
}
