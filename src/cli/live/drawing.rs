//! What draws a text over all that a terminal shows. It knows the terminal's size only, and prints nothing.

use unicode_width::UnicodeWidthStr as _;

/// What draws a status, and below it a text, in the place of all that a terminal of this size shows. What there is no room
/// for is counted.
pub(super) fn drawing(status: &str, text: &str, width: Option<usize>, height: Option<usize>) -> String {
    let lines: Vec<&str> = status.lines().chain([""]).chain(text.lines()).collect();
    let rows = |line: &str| width.map_or(1, |width| line.width().div_ceil(width).max(1));
    let whole: usize = lines.iter().map(|line| rows(line)).sum();
    // The cursor stands in the row below the last one.
    let room = height.map_or(whole, |height| height.saturating_sub(1));
    let mut left = if whole > room { room.saturating_sub(1) } else { room };
    let mut shown = String::from("\x1b[H\x1b[J");
    for (number, line) in lines.iter().enumerate() {
        let Some(rest) = left.checked_sub(rows(line)) else {
            shown.push_str(&format!("(lines that a higher terminal shows: {})", lines.len() - number));
            return shown;
        };
        left = rest;
        shown.push_str(line);
        if number + 1 < lines.len() {
            shown.push('\n');
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_has_no_room_for_is_counted() {
        let drawn = |width, height| drawing("now", "one\ntwo\nthree", width, height);
        assert_eq!(drawn(None, None), "\x1b[H\x1b[Jnow\n\none\ntwo\nthree");
        assert_eq!(drawn(Some(80), Some(6)), drawn(None, None));
        // Five rows: four lines would fit, but one says what is left out.
        assert_eq!(
            drawn(Some(80), Some(5)),
            "\x1b[H\x1b[Jnow\n\none\n(lines that a higher terminal shows: 2)"
        );
        // `three` takes two rows of four columns.
        assert!(drawn(Some(4), Some(6)).ends_with("two\n(lines that a higher terminal shows: 1)"));
        assert!(drawn(Some(4), Some(1)).ends_with("(lines that a higher terminal shows: 5)"));
    }
}
