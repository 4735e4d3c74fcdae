//! What the program may do at a terminal: how large it is, whether there are colours, and a question to the person.

use std::io::{IsTerminal, Write as _};

use clap::builder::styling::Style;

use super::environment::variable;

/// How many characters a line of standard output may have: what the variable `COLUMNS` says, or the terminal. Files and
/// other programs take lines of any length.
pub(super) fn width() -> Option<usize> {
    let told = variable("COLUMNS").and_then(|text| text.to_str()?.parse().ok());
    let asked = || Some(usize::from(rustix::termios::tcgetwinsize(std::io::stdout()).ok()?.ws_col));
    told.or_else(asked).filter(|columns| *columns > 0)
}

/// How many lines the terminal of standard output shows at once, where there is one.
pub(super) fn height() -> Option<usize> {
    let rows = usize::from(rustix::termios::tcgetwinsize(std::io::stdout()).ok()?.ws_row);
    Some(rows).filter(|rows| *rows > 0)
}

/// Whether standard output is a terminal that can be drawn on.
pub(super) fn can_draw() -> bool {
    std::io::stdout().is_terminal() && !is_dumb()
}

/// A terminal that knows no sequences to move the cursor or to set a style.
fn is_dumb() -> bool {
    variable("TERM").is_some_and(|term| term == "dumb")
}

/// This style where `stream` is a terminal with colours, and none elsewhere: <https://no-color.org>.
pub(super) fn style(stream: &impl IsTerminal, style: Style) -> Style {
    let plain = variable("NO_COLOR").is_some() || is_dumb();
    if stream.is_terminal() && !plain { style } else { Style::new() }
}

/// Whether a person can answer a question.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a question and says whether the person agrees. Anything but `y` and `yes` is a no.
pub(super) fn agrees(question: &str) -> std::io::Result<bool> {
    let mut stderr = std::io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_a_yes_is_a_yes() {
        assert!(["y", "Y\n", " yes\r\n"].into_iter().all(is_yes));
        assert!(["", "\n", "n", "no", "yess", "yes, but"].into_iter().all(|answer| !is_yes(answer)));
    }
}
