//! How far an import is, on a terminal: a bar where the size of the source is known, or about known, else counts.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::origin::Size;

/// How often the line is drawn anew.
const INTERVAL: Duration = Duration::from_millis(200);
/// How many characters the bar has.
const WIDTH: u64 = 30;

/// The line that shows how far an import is. It is drawn on standard error, if that is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    size: Option<Size>,
    shown: bool,
    began: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new(size: Option<Size>) -> Self {
        Self { size, shown: std::io::stderr().is_terminal(), began: Instant::now(), drawn: None }
    }

    /// Draws the line, unless it was drawn a moment ago.
    pub(super) fn draw(&mut self, read: u64, refused: u64) {
        if !self.shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < INTERVAL) {
            return;
        }
        self.drawn = Some(Instant::now());
        let seconds = self.began.elapsed().as_secs().max(1);
        let bar = self.size.as_ref().map(|size| match size {
            Size::Bytes { whole, read } => bar(read.load(Ordering::Relaxed), *whole),
            Size::Rows(whole) => format!("about {}", bar(read, *whole)),
        });
        let text =
            format!("{}{read} rows, {refused} refused, {} rows/s", bar.unwrap_or_default(), read / seconds);
        // A terminal that has gone takes nothing from the import.
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
    }

    /// Removes the line from the terminal.
    pub(super) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn bar(read: u64, whole: u64) -> String {
    let full = read.min(whole) * WIDTH / whole.max(1);
    let percent = read.min(whole) * 100 / whole.max(1);
    let part = |count: u64, text: &str| text.repeat(usize::try_from(count).unwrap_or_default());
    format!("[{}{}] {percent:>3} %  ", part(full, "#"), part(WIDTH - full, "."))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_fills_and_never_overflows() {
        assert_eq!(bar(0, 0), format!("[{}]   0 %  ", ".".repeat(30)));
        assert_eq!(bar(5, 10), format!("[{}{}]  50 %  ", "#".repeat(15), ".".repeat(15)));
        assert_eq!(bar(11, 10), format!("[{}] 100 %  ", "#".repeat(30)));
    }
}
