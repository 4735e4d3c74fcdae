//! The form of a value: a whole number, a truth value, a text. The library behind the sources turns one form into another
//! without a word (0.4, true and "yes" into numbers, numbers into texts), so each value is held against its key's form
//! before the library reads it.

use config::ValueKind;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Refuses a value of another form than `key` of the section `S` has. Variables and flags are texts, so a text of digits
/// is a number, and the texts true and false are truth values.
pub(super) fn check<S: DeserializeOwned>(key: &str, value: &ValueKind) -> Result<(), &'static str> {
    // JSON's deserialiser turns nothing into anything else, so what the section takes from it shows the key's form.
    let takes = |sample| serde_json::from_value::<S>(json!({ key: sample })).is_ok();
    let (fits, rule) = if takes(json!(1)) {
        (is_whole(value) || text(value).is_some_and(is_digits), "must be a whole number, written in digits")
    } else if takes(json!(true)) {
        let is_word = matches!(text(value), Some("true" | "false"));
        (matches!(value, ValueKind::Boolean(_)) || is_word, "must be true or false")
    } else if takes(json!([])) || takes(json!({})) {
        return Ok(());
    } else {
        let is_other = matches!(value, ValueKind::Boolean(_) | ValueKind::Float(_)) || is_number(value);
        (!is_other, "must be a text, in quotes")
    };
    if fits { Ok(()) } else { Err(rule) }
}

/// Whether the source gives nothing: no value, or an empty text.
pub(super) fn is_empty(value: &ValueKind) -> bool {
    matches!(value, ValueKind::Nil) || text(value).is_some_and(str::is_empty)
}

fn text(value: &ValueKind) -> Option<&str> {
    if let ValueKind::String(text) = value { Some(text) } else { None }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_whole(value: &ValueKind) -> bool {
    is_number(value) && !matches!(value, ValueKind::I64(..0) | ValueKind::I128(..0))
}

fn is_number(value: &ValueKind) -> bool {
    matches!(value, ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_))
}
