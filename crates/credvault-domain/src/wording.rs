//! The safe part of a parser's message. Parsers quote the text that they do not understand, and in an operator's file that
//! may be a secret. Our messages name the place and the rule, and quote only names that look like keys.

/// Turns a message of serde into a rule without the value. Keeps a rule of our own, which begins with "must be", as it is.
pub fn rule_of(message: &str) -> String {
    if message.starts_with("must be ") {
        return message.to_owned();
    }
    let quoted = |prefix: &str| message.strip_prefix(prefix)?.split_once('`').map(|(name, _)| name);
    // serde names the given value first, then what it expected.
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    match (quoted("unknown field `"), expected) {
        (Some(name), Some(expected)) if is_key(name) => format!("unknown key {name}, expected {expected}"),
        (Some(_), Some(expected)) => format!("unknown key, expected {expected}"),
        (None, Some(expected)) => format!("must be {expected}"),
        (_, None) => match quoted("missing field `") {
            Some(name) if is_key(name) => format!("{name} must be given"),
            _ => "has a value that is not allowed".to_owned(),
        },
    }
}

/// Whether a text can only be the name of a setting, or a misspelt one.
pub fn is_key(text: &str) -> bool {
    let in_alphabet = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.[]".contains(c);
    text.len() <= 64 && text.chars().all(in_alphabet)
}
