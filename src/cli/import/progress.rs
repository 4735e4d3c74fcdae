//! How far an import is, on a terminal: a bar where the size of the source is known, or about known, else counts.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::origin::Size;
use crate::cli::progress::{Bar, bar};

/// The line that shows how far an import is.
#[derive(Debug)]
pub(super) struct Progress {
    size: Option<Size>,
    line: Bar,
    began: Instant,
}

impl Progress {
    pub(super) fn new(size: Option<Size>) -> Self {
        Self { size, line: Bar::default(), began: Instant::now() }
    }

    /// Draws the line, unless it was drawn a moment ago.
    pub(super) fn draw(&mut self, read: u64, refused: u64) {
        if !self.line.is_due() {
            return;
        }
        let seconds = self.began.elapsed().as_secs().max(1);
        let bar = self.size.as_ref().map(|size| match size {
            Size::Bytes { whole, read } => bar(read.load(Ordering::Relaxed), *whole),
            Size::Rows(whole) => format!("about {}", bar(read, *whole)),
        });
        let rate = read / seconds;
        self.line
            .draw_line(&format!("{}{read} rows, {refused} refused, {rate} rows/s", bar.unwrap_or_default()));
    }

    /// Removes the line from the terminal.
    pub(super) fn clear(&mut self) {
        self.line.clear();
    }
}
