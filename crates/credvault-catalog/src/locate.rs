//! Where something stands in a provider file, and what of it messages may repeat: no values, for a secret may have been
//! pasted there, and names only if they look like names.

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
    // A line with neither is the inside of a value.
    let (key, _) = line.split_once('=').or_else(|| line.strip_prefix('[').map(|key| (key, "")))?;
    let key = key.trim().trim_matches(['[', ']']);
    (!key.is_empty() && key.split('.').all(is_shown)).then_some(key)
}

/// A dotted key as messages have it: a part that does not look like a name may be something else, and is left out.
pub(crate) fn shown_key(key: &str) -> String {
    key.split('.').map(|part| if is_shown(part) { part } else { "…" }).collect::<Vec<_>>().join(".")
}

/// A name that a value of the file has in it, as messages have it.
pub(crate) fn named(name: &str) -> &str {
    if name.split('.').all(is_shown) { name } else { "…" }
}

/// Whether a part of a key looks like a name: a word as settings have it, or a header with a capital for each of its
/// words.
fn is_shown(part: &str) -> bool {
    let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    let capitals = part.as_bytes().windows(4).any(|four| four.iter().all(u8::is_ascii_uppercase));
    part.len() <= 64 && part.bytes().all(in_alphabet) && !capitals
}
