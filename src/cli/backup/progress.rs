//! How far a backup, a restore or a verification is, in one line on a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use credvault_store::BackupProgress;

/// How often the line is drawn anew.
const INTERVAL: Duration = Duration::from_millis(200);
/// How many characters the bar has.
const WIDTH: u64 = 30;

/// The line on standard error, if that is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    /// How many bytes there are in all, if that is known.
    whole: Option<u64>,
    shown: bool,
    began: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new(whole: Option<u64>) -> Self {
        Self { whole, shown: std::io::stderr().is_terminal(), began: Instant::now(), drawn: None }
    }

    /// Draws the line, unless it was drawn a moment ago.
    pub(super) fn draw(&mut self, at: BackupProgress<'_>) {
        if !self.shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < INTERVAL) {
            return;
        }
        self.drawn = Some(Instant::now());
        let text = line(self.whole, at, self.began.elapsed());
        // A terminal that has gone takes nothing from the work.
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
    }

    /// Removes the line from the terminal.
    pub(super) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
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

fn bar(done: u64, whole: u64) -> String {
    let full = done.min(whole) * WIDTH / whole.max(1);
    let percent = done.min(whole) * 100 / whole.max(1);
    let part = |count: u64, text: &str| text.repeat(usize::try_from(count).unwrap_or_default());
    format!("[{}{}] {percent:>3} %  ", part(full, "#"), part(WIDTH - full, "."))
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
