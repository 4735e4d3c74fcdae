//! Where something stands in a provider file: from keys and byte offsets to the line numbers of error messages. It
//! reads positions only and repeats no value.

use toml::de::{DeTable, DeValue};

use crate::shown::is_name;

/// The line, counted from 1, on which the dotted `key` stands in `text`. If the text lacks the key, the line of its
/// longest prefix that is there.
pub(crate) fn line_of_key(text: &str, key: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 1 };
    let mut table = document.get_ref();
    let mut offset = 0;
    for part in key.split('.') {
        let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == part) else { break };
        offset = name.span().start;
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => break,
        }
    }
    line_of_offset(text, offset)
}

/// The line, counted from 1, of the byte at `offset`.
pub(crate) fn line_of_offset(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The key on the line of `offset`, or the table that the line begins. `None` inside a value of several lines.
pub(crate) fn key_at(text: &str, offset: usize) -> Option<&str> {
    let begin = text.get(..offset)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(begin..)?.lines().next()?;
    let (key, _) = line.split_once('=').or_else(|| line.strip_prefix('[').map(|key| (key, "")))?;
    let key = key.trim().trim_matches(['[', ']']);
    (!key.is_empty() && key.split('.').all(is_name)).then_some(key)
}
