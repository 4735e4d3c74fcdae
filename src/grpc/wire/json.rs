//! Between `google.protobuf.Struct` and JSON.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Wire};
use serde_json::{Map, Number, Value};

/// A JSON object as a `Struct`.
pub(crate) fn struct_of(object: &Map<String, Value>) -> Struct {
    let fields: BTreeMap<_, _> = object.iter().map(|(name, value)| (name.clone(), wire_of(value))).collect();
    Struct { fields }
}

fn wire_of(value: &Value) -> Wire {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(wire_of).collect() }),
        Value::Object(object) => Kind::StructValue(struct_of(object)),
    };
    Wire { kind: Some(kind) }
}

/// A `Struct` as a JSON object. Numbers without a fraction become integers; a number that JSON does not have, such as
/// NaN, becomes null. prost bounds the depth of what it decodes.
pub(crate) fn value_of(wire: Struct) -> Map<String, Value> {
    wire.fields.into_iter().map(|(name, value)| (name, json_of(value))).collect()
}

fn json_of(wire: Wire) -> Value {
    match wire.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::NumberValue(number)) => number_of(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(json_of).collect()),
        Some(Kind::StructValue(object)) => Value::Object(value_of(object)),
    }
}

fn number_of(number: f64) -> Value {
    // Beyond 2^53 a double does not tell integers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is an integer in range")]
        return Value::Number(Number::from(number as i64));
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_goes_there_and_back() {
        let Value::Object(object) = json!({ "a": 1, "b": -2.5, "c": "x", "d": [true, null, { "e": [] }], "f": 9_007_199_254_740_992_i64 })
        else {
            panic!("an object");
        };
        assert_eq!(value_of(struct_of(&object)), object);
    }

    #[test]
    fn what_json_does_not_have_is_null() {
        assert_eq!(number_of(f64::NAN), Value::Null);
        assert_eq!(number_of(f64::INFINITY), Value::Null);
        assert_eq!(number_of(1e300), json!(1e300));
    }
}
