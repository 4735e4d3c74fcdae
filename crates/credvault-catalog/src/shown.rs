//! Which words of a provider file an error message may repeat. A secret may have been pasted into the file, so messages
//! never repeat values, and repeat names only if they look like names.

/// What stands in a message for a word that is not repeated.
const HIDDEN: &str = "…";

/// `key`, a dotted key, with every part hidden that does not look like a name.
pub(crate) fn shown_key(key: &str) -> String {
    key.split('.').map(|part| if is_name(part) { part } else { HIDDEN }).collect::<Vec<_>>().join(".")
}

/// `name`, which a value of the file contains, or a placeholder if some part of it does not look like a name.
pub(crate) fn shown_name(name: &str) -> &str {
    if name.split('.').all(is_name) { name } else { HIDDEN }
}

/// Whether a part of a key looks like a name: a word as settings have it, or a header with a capital at the start of
/// each word.
pub(crate) fn is_name(part: &str) -> bool {
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let capitals = part.as_bytes().windows(4).any(|four| four.iter().all(u8::is_ascii_uppercase));
    part.len() <= 64 && part.bytes().all(in_alphabet) && !capitals
}
