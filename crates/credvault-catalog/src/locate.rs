//! Finds the line of a key in a provider file, for messages.

use toml::de::{DeTable, DeValue};

/// The line, counted from 1, on which the dotted `key` stands in `text`; of its longest known prefix, if need be.
pub(crate) fn line_of_key(text: &str, key: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 1 };
    let mut table = document.get_ref();
    let mut offset = 0;
    for part in key.split('.') {
        let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == part) else { break };
        offset = name.span().start;
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    line_of_offset(text, offset)
}

/// The line, counted from 1, of a byte.
pub(crate) fn line_of_offset(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The key of the line that an offset is in, or the table that the line begins; `None` if it has neither.
pub(crate) fn key_at(text: &str, offset: usize) -> Option<&str> {
    let begin = text.get(..offset)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(begin..)?.lines().next()?;
    let key = line.split('=').next()?.trim().trim_matches(['[', ']']);
    let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    (!key.is_empty() && key.len() <= 64 && key.bytes().all(in_alphabet)).then_some(key)
}
