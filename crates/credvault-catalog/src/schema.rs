//! JSON Schema (2020-12) of configs and credentials, for forms and for other validators.

use std::collections::BTreeMap;

use credvault_domain::FieldName;
use serde_json::{Map, Value, json};

use crate::field::Field;
use crate::file::FieldKind;

/// The schema of an object with these fields; `secret` marks each as `writeOnly`, `open` allows others.
pub(crate) fn object<'a>(
    fields: impl IntoIterator<Item = (&'a FieldName, &'a Field)>,
    secret: bool,
    open: bool,
) -> Value {
    let fields: BTreeMap<_, _> = fields.into_iter().collect();
    let required: Vec<_> = fields.iter().filter(|(_, f)| f.required).map(|(name, _)| name.as_str()).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|(name, field)| (name.as_str().to_owned(), property(field, secret))).collect();
    let additional =
        if secret && open { json!({ "type": "string", "writeOnly": true }) } else { json!(open) };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": additional,
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
        _ => {
            set("minLength", json!(field.min_length));
            set("type", json!("string"))
        }
    };
    match field.kind {
        FieldKind::Json => {
            set("contentMediaType", json!("application/json"));
            let fixed =
                field.fixed_members.iter().map(|(name, value)| (name.clone(), json!({ "const": value })));
            let members =
                field.members.iter().map(|name| (name.clone(), json!({ "type": "string", "minLength": 1 })));
            let mut properties: Map<String, Value> = members.chain(fixed).collect();
            let required: Vec<_> = properties.keys().cloned().collect();
            properties.extend(
                field.enum_members.iter().map(|(name, values)| (name.clone(), json!({ "enum": values }))),
            );
            set("contentSchema", json!({ "type": "object", "properties": properties, "required": required }));
        }
        FieldKind::HttpsUrl => {
            set("format", json!("uri"));
            set("pattern", json!("^https://"));
        }
        _ => {}
    }
    if let Some(pattern) = &field.pattern {
        set("pattern", json!(pattern.as_str()));
    }
    if let Some(most) = field.max_length {
        set("maxLength", json!(most));
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
