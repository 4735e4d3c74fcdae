//! Small pieces of Markdown.

use std::time::Duration;

/// `text` as code.
pub(super) fn code(text: &str) -> String {
    format!("`{text}`")
}

/// `text` for a cell of a table.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// "a, b or c".
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
