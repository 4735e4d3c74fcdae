//! How far a backup, a restore or a verification is, in one line on a terminal.

use std::time::{Duration, Instant};

use credvault_store::BackupProgress;

use crate::cli::progress::{Bar, bar};

/// The line on standard error, if that is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    /// How many bytes there are in all, if that is known.
    whole: Option<u64>,
    line: Bar,
    began: Instant,
}

impl Progress {
    pub(super) fn new(whole: Option<u64>) -> Self {
        Self { whole, line: Bar::default(), began: Instant::now() }
    }

    /// Draws the line, unless it was drawn a moment ago.
    pub(super) fn draw(&mut self, at: BackupProgress<'_>) {
        if self.line.is_due() {
            self.line.draw_line(&line(self.whole, at, self.began.elapsed()));
        }
    }

    /// Removes the line from the terminal.
    pub(super) fn clear(&mut self) {
        self.line.clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(whole: Option<u64>, at: BackupProgress<'_>, elapsed: Duration) -> String {
    let bar = whole.map(|whole| bar(at.bytes, whole)).unwrap_or_default();
    let (mebibytes, seconds) = (at.bytes / (1024 * 1024), elapsed.as_secs().max(1));
    format!("{bar}{} rows, {mebibytes} MiB, {} rows/s, {}", at.rows, at.rows / seconds, at.table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_done() {
        let at = BackupProgress { table: "tokens", rows: 1000, bytes: 3 * 1024 * 1024 };
        let two_seconds = Duration::from_secs(2);
        assert_eq!(line(None, at, two_seconds), "1000 rows, 3 MiB, 500 rows/s, tokens");
        let half = line(Some(at.bytes * 2), at, two_seconds);
        assert!(half.starts_with(&format!("[{}{}]  50 %", "#".repeat(15), ".".repeat(15))), "{half}");
        assert!(line(Some(0), at, Duration::ZERO).contains("  0 %"));
    }
}
