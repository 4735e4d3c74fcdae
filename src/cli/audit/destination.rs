//! Where an export goes to: standard output, or a file that has its name only once it is whole and on the disk.

use std::path::Path;

use anyhow::Context as _;

use crate::cli::backup::file::{Unfinished, is_stream};
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// Where lines are written to. A file that is dropped before its end is removed.
pub(super) enum Destination<'a> {
    Stdout(&'a mut Output),
    File(Unfinished),
}

impl<'a> Destination<'a> {
    /// Standard output, or the file at `path`, which must not be there yet.
    pub(super) fn open(path: Option<&Path>, output: &'a mut Output) -> Result<Self, Failure> {
        match path.filter(|path| !is_stream(path)) {
            Some(path) => Ok(Self::File(Unfinished::create(path)?)),
            None => Ok(Self::Stdout(output)),
        }
    }

    /// Whether lines go to a file.
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Writes lines, given without the last line feed.
    pub(super) fn write(&mut self, lines: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout(output) => output.line(lines),
            Self::File(file) => {
                let written = writeln!(file.writer(), "{lines}");
                Ok(written.context("the file cannot be written")?)
            }
        }
    }

    /// Ends the export: a file gets its name.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(file) => file.finish(),
        }
    }
}
