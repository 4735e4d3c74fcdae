//! Reads claims of a token by path. A claim of another type is an error and never counts as absent, because absence has a
//! meaning: an assertion without a user acts for none.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::token_error::TokenError;

/// The claims of a token.
pub(crate) type Claims = Map<String, Value>;

/// The text at a dotted path, such as `sub` or `o.id`; a claim whose own name has the dots comes first
/// (`https://acme.example/tenant`). `None` if the claim is absent.
pub(crate) fn text_at<'c>(claims: &'c Claims, path: &str) -> Result<Option<&'c str>, TokenError> {
    let text = |value: &'c Value| value.as_str().map(Some).ok_or_else(|| wrong(path, "must be a string"));
    if let Some(value) = claims.get(path) {
        return text(value);
    }
    let mut parts = path.split('.');
    let Some(mut value) = parts.next().and_then(|first| claims.get(first)) else { return Ok(None) };
    for part in parts {
        let object = value.as_object().ok_or_else(|| wrong(path, "must be within an object"))?;
        let Some(inner) = object.get(part) else { return Ok(None) };
        value = inner;
    }
    text(value)
}

fn wrong(path: &str, rule: &str) -> TokenError {
    TokenError::Claim { claim: path.to_owned(), rule: rule.to_owned() }
}

/// A time claim: seconds since the epoch, whole or fractional.
pub(crate) fn seconds_at(claims: &Claims, name: &str) -> Option<i64> {
    let value = claims.get(name)?;
    value.as_i64().or_else(|| {
        let seconds = value.as_f64()?;
        // An f64 holds these numbers exactly, and no token is valid for longer.
        (seconds.is_finite() && seconds.abs() < 1e12).then_some(seconds as i64)
    })
}

/// The values of a claim that is a text or a list of texts; empty for any other claim.
pub(crate) fn texts_at<'c>(claims: &'c Claims, name: &str) -> Vec<&'c str> {
    match claims.get(name) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => {
            items.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default()
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    }
}

/// JSON, and whether any of its objects has the same name twice. Parsers disagree on which of the two counts (RFC 8259,
/// section 4): a token with a doubled claim would mean one tenant to us and another to the next service.
pub(crate) struct Json {
    pub(crate) value: Value,
    pub(crate) repeats: bool,
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl JsonVisitor {
    fn plain<E>(value: impl Into<Value>) -> Result<Json, E> {
        Ok(Json { value: value.into(), repeats: false })
    }
}

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Self::plain(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Self::plain(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Self::plain(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Self::plain(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Self::plain(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Self::plain(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let (mut items, mut repeats) = (Vec::new(), false);
        while let Some(item) = seq.next_element::<Json>()? {
            repeats |= item.repeats;
            items.push(item.value);
        }
        Ok(Json { value: Value::Array(items), repeats })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let (mut members, mut repeats) = (Map::new(), false);
        while let Some((name, member)) = map.next_entry::<String, Json>()? {
            repeats |= member.repeats | members.insert(name, member.value).is_some();
        }
        Ok(Json { value: Value::Object(members), repeats })
    }
}
