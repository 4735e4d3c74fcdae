//! How far work has come, on a terminal: one line on standard error with a bar, drawn anew.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often the line is drawn anew.
const INTERVAL: Duration = Duration::from_millis(200);
/// How many characters the bar has.
const WIDTH: u64 = 30;

/// A line on the terminal. Where standard error is no terminal, nothing is drawn.
#[derive(Debug)]
pub(super) struct Bar {
    shown: bool,
    drawn: Option<Instant>,
}

impl Default for Bar {
    fn default() -> Self {
        Self { shown: std::io::stderr().is_terminal(), drawn: None }
    }
}

impl Bar {
    /// Whether it is time to draw the line.
    pub(super) fn is_due(&self) -> bool {
        self.shown && self.drawn.is_none_or(|drawn| drawn.elapsed() >= INTERVAL)
    }

    /// Draws a bar and a text behind it, unless the line was drawn a moment ago.
    pub(super) fn draw(&mut self, done: u64, whole: u64, text: &str) {
        self.draw_line(&format!("{}{text}", bar(done, whole)));
    }

    /// Draws a line, unless one was drawn a moment ago.
    pub(super) fn draw_line(&mut self, text: &str) {
        if self.is_due() {
            self.drawn = Some(Instant::now());
            // A terminal that has gone takes nothing from the work.
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
    }

    /// Writes a line where nothing is drawn, such as a file or another program.
    pub(super) fn tell(&self, text: &str) {
        if !self.shown {
            // A reader that has gone takes nothing from the work.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Removes the line from the terminal.
    pub(super) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// A bar with the part that is done, in percent.
pub(super) fn bar(done: u64, whole: u64) -> String {
    let full = done.min(whole) * WIDTH / whole.max(1);
    let percent = done.min(whole) * 100 / whole.max(1);
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
