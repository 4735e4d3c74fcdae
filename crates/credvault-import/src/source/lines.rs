//! Rows of a file with a JSON object on each line.

use std::io::{BufRead, Read as _};

use super::rows::{BadRow, SourceError};
use crate::record::Record;

/// The longest line: a credential has 64 KiB at most, sealed and encoded about twice that.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// The rows of a file with a JSON object on each line.
pub(super) struct Rows {
    text: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
    /// Whether no line but empty ones was read so far.
    at_start: bool,
}

impl Rows {
    pub(super) fn new(text: Box<dyn BufRead + Send>) -> Self {
        Self { text, line: Vec::new(), number: 0, at_start: true }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn next(&mut self) -> Result<Option<Result<Record, BadRow>>, SourceError> {
        loop {
            self.line.clear();
            self.number += 1;
            if self.text.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            if self.at_start && self.line.trim_ascii_start().starts_with(b"[") {
                return Err(SourceError::Array);
            }
            self.at_start &= self.line.trim_ascii().is_empty();
            let cut = self.line.len() as u64 == MAX_LINE_BYTES && !self.line.ends_with(b"\n");
            if cut {
                self.skip_line()?;
                return Ok(self.bad("it is longer than 1 MiB"));
            }
            if !self.line.trim_ascii().is_empty() {
                let record = Record::read(&self.line);
                return Ok(record.map_or_else(|| self.bad("it is no JSON object"), |it| Some(Ok(it))));
            }
        }
    }

    fn bad(&self, problem: &'static str) -> Option<Result<Record, BadRow>> {
        Some(Err(BadRow { number: self.number, problem }))
    }

    fn skip_line(&mut self) -> Result<(), SourceError> {
        loop {
            let buffer = self.text.fill_buf()?;
            let (length, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.text.consume(length);
            if ended {
                return Ok(());
            }
        }
    }
}
