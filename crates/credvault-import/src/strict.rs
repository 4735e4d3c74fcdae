//! JSON as rows have it, read so that nothing is lost unseen: where an object has a key twice, serde_json alone takes the
//! last value and says nothing. It keeps no text and names no value.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::name::shown;

/// A JSON text as it was read.
pub(crate) struct Read {
    /// The value. Of a key that an object has twice, the last one.
    pub(crate) value: Value,
    /// The last key that an object has twice, if one has.
    pub(crate) twice: Option<String>,
}

/// Why a text is not taken for a JSON object.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum NoObject {
    /// It is something else.
    Form,
    /// An object in it has this key twice.
    Twice(String),
}

impl NoObject {
    /// The problem as a sentence about `subject`, such as `its credential`.
    pub(crate) fn of(&self, subject: &str) -> String {
        match self {
            Self::Form => format!("{subject} is no JSON object"),
            Self::Twice(key) => format!("{subject} {}", twice(key)),
        }
    }
}

/// What is wrong with JSON that has a key twice, and what to do, as the end of a sentence.
pub(crate) fn twice(key: &str) -> String {
    format!("has the key {} twice in one JSON object; remove one of the two there", shown(key))
}

/// Reads a JSON text. `None` if it is none.
pub(crate) fn read(text: &[u8]) -> Option<Read> {
    let mut twice = None;
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Reading { twice: &mut twice }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(Read { value, twice })
}

/// Reads the text of a JSON object.
pub(crate) fn object(text: &str) -> Result<Map<String, Value>, NoObject> {
    match read(text.as_bytes()) {
        Some(Read { value: Value::Object(object), twice: None }) => Ok(object),
        Some(Read { value: Value::Object(_), twice: Some(key) }) => Err(NoObject::Twice(key)),
        Some(_) | None => Err(NoObject::Form),
    }
}

/// One value that is being read, and where a key that is there twice is noted.
struct Reading<'a> {
    twice: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(Reading { twice: &mut *self.twice })? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(Reading { twice: &mut *self.twice })?;
            if all.contains_key(&key) {
                *self.twice = Some(key.clone());
            }
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_read_as_serde_json_reads_it() {
        for text in
            ["null", "true", "-1", "18446744073709551615", "1.5", r#""a""#, r#"[1, {"a": [null]}, {}]"#]
        {
            let expected: Value = serde_json::from_str(text).expect("JSON");
            let read = read(text.as_bytes()).expect("JSON");
            assert_eq!((read.value, read.twice), (expected, None), "{text}");
        }
        for text in ["", "{", "{} {}", "CANARY", &"[".repeat(1000)] {
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_named_at_any_depth() {
        for text in [r#"{"apiKey":"a","apiKey":"b"}"#, r#"{"a":[{"apiKey":1,"b":2,"apiKey":1}]}"#] {
            assert_eq!(object(text), Err(NoObject::Twice("apiKey".to_owned())), "{text}");
        }
        assert_eq!(object(r#"{"a":{"b":1},"b":1}"#).map(Value::Object), Ok(json!({"a": {"b": 1}, "b": 1})));
        let told = NoObject::Twice("CANARY 1".to_owned()).of("its credential");
        assert!(!told.contains("CANARY") && told.contains("its credential has the key (not shown) twice"));
        assert_eq!(object("[]"), Err(NoObject::Form));
    }
}
