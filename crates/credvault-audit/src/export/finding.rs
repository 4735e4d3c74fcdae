//! What a verifier finds wrong with an export: where, and from which record on.

use std::fmt;

use crate::{CheckpointError, TileId, TrustError};

/// The first thing that is wrong with an export.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The line of the file, from 1; the line after the last if something is missing there.
    pub line: u64,
    /// The index of the first record that is not as the checkpoint says. `None` if no record is in question. For hashes that
    /// do not fit ([`Fault::Tile`], [`Fault::Edge`]) it is the first record that contradicts them or, if none does, the first
    /// below them: then record and hashes were altered together.
    pub first_bad: Option<u64>,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with an export.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The line is not of the format.
    #[error(
        "the line must be a header, tile, record or end of format credvault-audit-export, version 1, and nothing more"
    )]
    Line,
    /// The header says what cannot be.
    #[error("the header's start and end must be a part of the log at the header's checkpoint")]
    Range,
    /// The header's checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The header's checkpoint is not to be believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The header's checkpoint is not of the log that the other checkpoint is of.
    #[error("the export must be of the log that the given checkpoint is of")]
    OtherLog,
    /// The given checkpoint covers more than the export.
    #[error(
        "the given checkpoint, of size {size}, is later than the export: export again, at that checkpoint or later"
    )]
    Later {
        /// The size of the given checkpoint.
        size: u64,
    },
    /// The log was rolled back or rewritten.
    #[error("the log was rewritten: its first {size} records are not those of the given checkpoint")]
    Rewritten {
        /// The size of the given checkpoint.
        size: u64,
    },
    /// The export does not lead to the given checkpoint.
    #[error(
        "the export has no hashes that lead to the given checkpoint, of size {size}: export with that size"
    )]
    NotCovered {
        /// The size of the given checkpoint.
        size: u64,
    },
    /// The tiles of the edge do not lead to the root.
    #[error(
        "the hashes at the edge of the tree do not lead to the checkpoint's root: some of them were altered"
    )]
    Edge,
    /// A tile does not lead to the tile above it.
    #[error("{0} does not fit the tree: its hashes were altered, or it stands in the wrong place")]
    Tile(TileId),
    /// The hash that proves the record is not there.
    #[error("the tile with the hash of the record must come before it")]
    NoTile,
    /// The record is not the one that was logged.
    #[error("the record was altered, or is not the one that was logged here")]
    Altered,
    /// A record is missing where the export says that none is.
    #[error("the record is missing: the next one has the index {found}")]
    Missing {
        /// The index that was found instead.
        found: u64,
    },
    /// A record stands where it does not belong.
    #[error("the record with the index {found} was added, or stands in the wrong place")]
    Misplaced {
        /// The index that was found.
        found: u64,
    },
    /// The end of the file is not where the export says that it is.
    #[error("the export was cut off, or lines were removed or added at its end")]
    CutOff,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if let Some(index) = self.first_bad {
            write!(f, "record {index}: ")?;
        }
        self.fault.fmt(f)
    }
}

impl std::error::Error for Finding {}
