//! JSON Schema (2020-12) of configs and credentials, for forms and for other validators. The vault itself checks fields
//! by their rules and not by the schema.

use std::collections::BTreeMap;

use credvault_domain::FieldName;
use serde_json::{Map, Value, json};

use crate::field::{Field, FieldKind};

/// The schema of an object with these fields. `secret` marks each field as `writeOnly`; `additional` permits other
/// fields.
pub(crate) fn object<'a>(
    fields: impl IntoIterator<Item = (&'a FieldName, &'a Field)>,
    secret: bool,
    additional: bool,
) -> Value {
    let fields: BTreeMap<_, _> = fields.into_iter().collect();
    let required: Vec<_> = fields.iter().filter(|(_, f)| f.required).map(|(name, _)| name.as_str()).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|(name, field)| (name.as_str().to_owned(), property(field, secret))).collect();
    let others =
        if secret && additional { json!({ "type": "string", "writeOnly": true }) } else { json!(additional) };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": others,
    })
}

fn property(field: &Field, secret: bool) -> Value {
    let mut schema = Map::new();
    let mut set = |key: &str, value: Value| schema.insert(key.to_owned(), value);
    set("title", json!(field.title));
    if let Some(description) = &field.description {
        set("description", json!(description));
    }
    match field.kind {
        FieldKind::Integer => set("type", json!("integer")),
        FieldKind::Boolean => set("type", json!("boolean")),
        FieldKind::String | FieldKind::Text | FieldKind::Json | FieldKind::HttpsUrl => {
            set("minLength", json!(field.min_length));
            set("type", json!("string"))
        }
    };
    match field.kind {
        FieldKind::Json => {
            set("contentMediaType", json!("application/json"));
            set("contentSchema", content(field));
        }
        FieldKind::HttpsUrl => {
            set("format", json!("uri"));
            set("pattern", json!("^https://"));
        }
        FieldKind::String | FieldKind::Text | FieldKind::Integer | FieldKind::Boolean => {}
    }
    if let Some(pattern) = &field.pattern {
        set("pattern", json!(pattern.as_str()));
    }
    if let Some(max) = field.max_length {
        set("maxLength", json!(max));
    }
    if !field.values.is_empty() {
        set("enum", json!(field.values));
    }
    if let Some(default) = &field.default {
        set("default", default.clone());
    }
    if secret {
        set("writeOnly", json!(true));
    }
    Value::Object(schema)
}

/// The schema of the JSON object that a field of type `json` contains.
fn content(field: &Field) -> Value {
    let constant = field.const_members.iter().map(|(name, value)| (name.clone(), json!({ "const": value })));
    let text = || json!({ "type": "string", "minLength": 1 });
    let members = field.required_members.iter().map(|name| (name.clone(), text()));
    let mut properties: Map<String, Value> = members.chain(constant).collect();
    let required: Vec<_> = properties.keys().cloned().collect();
    let options = field.enum_members.iter().map(|(name, values)| (name.clone(), json!({ "enum": values })));
    properties.extend(options);
    json!({ "type": "object", "properties": properties, "required": required })
}
