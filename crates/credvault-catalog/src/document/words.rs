//! Small pieces of Markdown: code, cells, lists and spans of time.

use std::time::Duration;

/// `text` between backticks, as Markdown marks code.
pub(super) fn code(text: &str) -> String {
    format!("`{text}`")
}

/// `text` as one cell of a table: without bars and line ends.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The items as "a, b or c"; `last` is the word before the last one.
pub(super) fn list(items: impl IntoIterator<Item = String>, last: &str) -> String {
    let mut items: Vec<_> = items.into_iter().collect();
    match items.pop() {
        None => String::new(),
        Some(only) if items.is_empty() => only,
        Some(end) => format!("{} {last} {end}", items.join(", ")),
    }
}

/// "30 minutes", in the largest unit that it is a whole number of.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let unit = units.into_iter().find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size));
    let (size, name) = unit.unwrap_or((1, "second"));
    match seconds / size {
        1 => format!("1 {name}"),
        many => format!("{many} {name}s"),
    }
}
