//! Text in columns: tables that fit a width, and blocks with a name and a value in each line. It knows no terminal and
//! prints nothing.

use unicode_width::UnicodeWidthStr as _;

/// The blanks between two columns.
const GAP: usize = 2;
/// The longest name that values are aligned behind; one that is longer has its value right behind it.
const LONGEST_NAME: usize = 24;
/// The least room for a value in a block, however narrow the terminal is.
const LEAST_ROOM: usize = 20;

/// A table as lines.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Table {
    /// The headings; none where each row is a block of its own.
    pub(super) heading: Option<String>,
    pub(super) lines: Vec<String>,
    /// The headings of the columns that there is no room for.
    pub(super) left_out: Vec<String>,
}

/// Rows under their headings, at most `width` wide. Where that is too narrow, the last `spare` columns are left out, one
/// after the other; where that is not enough, each row becomes a block, which leaves out nothing.
pub(super) fn table(headings: &[&str], spare: usize, rows: &[Vec<String>], width: Option<usize>) -> Table {
    let clean = |row: &Vec<String>| row.iter().map(|cell| one_line(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(clean).collect();
    let widths = widths(headings, &rows);
    let least = headings.len().saturating_sub(spare).max(1);
    let fits = |columns: &usize| {
        let whole = widths.iter().take(*columns).sum::<usize>() + GAP * columns.saturating_sub(1);
        width.is_none_or(|width| whole <= width)
    };
    let Some(columns) = (least..=headings.len()).rev().find(fits) else {
        return Table { heading: None, lines: blocks(headings, &rows, width), left_out: Vec::new() };
    };
    let shown: Vec<usize> = widths.iter().take(columns).copied().collect();
    Table {
        heading: Some(aligned(headings.iter().copied(), &shown)),
        lines: rows.iter().map(|row| aligned(row.iter().map(String::as_str), &shown)).collect(),
        left_out: headings.iter().skip(columns).map(|heading| (*heading).to_owned()).collect(),
    }
}

/// Names and values, each pair in a line; long values continue in lines of their own, between words. Pairs without a value
/// are left out.
pub(super) fn block(pairs: &[(String, String)], width: Option<usize>) -> Vec<String> {
    let pairs: Vec<(&str, String)> = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), one_line(value)))
        .filter(|pair| !pair.1.is_empty())
        .collect();
    let names = pairs.iter().map(|(name, _)| name.width()).filter(|width| *width <= LONGEST_NAME);
    let begin = names.max().unwrap_or_default() + 1 + GAP;
    let room = width.map(|width| width.saturating_sub(begin).max(LEAST_ROOM));
    let mut lines = Vec::new();
    for (name, value) in &pairs {
        let mut label = format!("{name}:");
        for part in wrapped(value, room) {
            let blanks = begin.saturating_sub(label.width()).max(GAP);
            lines.push(format!("{label}{}{part}", " ".repeat(blanks)));
            label.clear();
        }
    }
    lines
}

/// Each row as a block, with an empty line between two.
fn blocks(headings: &[&str], rows: &[Vec<String>], width: Option<usize>) -> Vec<String> {
    let names: Vec<String> = headings.iter().map(|heading| heading.trim().to_lowercase()).collect();
    let mut lines = Vec::new();
    for row in rows {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let pairs: Vec<_> =
            names.iter().cloned().zip(row.iter().map(|cell| cell.trim().to_owned())).collect();
        lines.extend(block(&pairs, width));
    }
    lines
}

/// The width of each column.
fn widths(headings: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let widest = |(column, heading): (usize, &&str)| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
        cells.chain([heading.width()]).max().unwrap_or_default()
    };
    headings.iter().enumerate().map(widest).collect()
}

/// Cells in columns of these widths, without blanks at the end.
fn aligned<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.zip(widths) {
        line.push_str(cell);
        line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + GAP));
    }
    line.trim_end().to_owned()
}

/// Lines of at most this width. A word that is wider, such as an address, stays whole: people copy it.
pub(super) fn wrapped(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else { return vec![text.to_owned()] };
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut().filter(|line| line.width() + 1 + word.width() <= room) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A text in one line. Control characters could move the cursor or change what stands above.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADINGS: [&str; 3] = ["PROVIDER", "ACCOUNT", "ID"];

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        vec![row(["shopify", "main", "0192"]), row(["xero", "書類", "0193-0000-0000"])]
    }

    #[test]
    fn columns_are_aligned_whatever_the_width_of_a_character() {
        let Table { heading, lines, left_out } = table(&HEADINGS, 0, &rows(), None);
        assert_eq!(heading.as_deref(), Some("PROVIDER  ACCOUNT  ID"));
        assert_eq!(lines, ["shopify   main     0192", "xero      書類     0193-0000-0000"]);
        assert!(left_out.is_empty());
    }

    #[test]
    fn a_narrow_table_loses_spare_columns_and_then_becomes_blocks() {
        let narrow = table(&HEADINGS, 1, &rows(), Some(20));
        assert_eq!(narrow.lines, ["shopify   main", "xero      書類"]);
        assert_eq!(narrow.left_out, ["ID"]);
        for (spare, width) in [(0, 20), (1, 16)] {
            let Table { heading, lines, left_out } = table(&HEADINGS, spare, &rows(), Some(width));
            assert_eq!((heading, left_out), (None, Vec::new()));
            assert_eq!(lines[..4], ["provider:  shopify", "account:   main", "id:        0192", ""]);
            assert_eq!(lines.len(), 7);
        }
    }

    #[test]
    fn every_table_fits_eighty_columns() {
        let row: Vec<String> = (0..8).map(|number| "word ".repeat(number * 7)).collect();
        let headings = ["A", "B", "C", "D", "E", "F", "G", "H"];
        for spare in [0, 3] {
            let lines = table(&headings, spare, std::slice::from_ref(&row), Some(80)).lines;
            assert!(lines.len() > 8 && lines.iter().all(|line| line.width() <= 80), "{lines:?}");
        }
    }

    #[test]
    fn a_block_wraps_between_words_and_leaves_out_what_is_empty() {
        let pairs = [("id", "1"), ("none", ""), ("what to do", "store the key once more, then fetch it")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let expected =
            ["id:          1", "what to do:  store the key once", "             more, then fetch it"];
        assert_eq!(block(&pairs, Some(34)), expected);
        assert_eq!(block(&pairs, None).len(), 2);
    }

    #[test]
    fn a_long_name_does_not_push_the_other_values_away() {
        let long = "header X-Shopify-Access-Token";
        let pairs =
            [("id", "1"), (long, "(hidden)")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(block(&pairs, Some(80)), ["id:  1", "header X-Shopify-Access-Token:  (hidden)"]);
    }

    #[test]
    fn no_cell_controls_the_terminal() {
        let rows = [vec!["a\x1b[2J\nb\tc".to_owned()]];
        assert_eq!(table(&["NAME"], 0, &rows, None).lines, ["a [2J b c"]);
    }
}
