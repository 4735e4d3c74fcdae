//! Where in a token's claims tenant and user are.

use serde_json::{Map, Value};

/// The claims of a token.
pub(crate) type Claims = Map<String, Value>;

/// The text at a dotted path, such as `sub` or `o.id`; a claim whose own name has the dots comes first
/// (`https://acme.example/tenant`).
pub(crate) fn text_at<'c>(claims: &'c Claims, path: &str) -> Option<&'c str> {
    if let Some(value) = claims.get(path) {
        return value.as_str();
    }
    let mut parts = path.split('.');
    let mut value = claims.get(parts.next()?)?;
    for part in parts {
        value = value.as_object()?.get(part)?;
    }
    value.as_str()
}

/// A time claim: seconds since the epoch, whole or fractional.
pub(crate) fn seconds_at(claims: &Claims, name: &str) -> Option<i64> {
    let value = claims.get(name)?;
    value.as_i64().or_else(|| {
        let seconds = value.as_f64()?;
        // Far inside of what an f64 holds exactly; a token is not valid for longer than that.
        (seconds.is_finite() && seconds.abs() < 1e12).then_some(seconds as i64)
    })
}

/// A claim that is a text or a list of texts.
pub(crate) fn texts_at<'c>(claims: &'c Claims, name: &str) -> Vec<&'c str> {
    match claims.get(name) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
