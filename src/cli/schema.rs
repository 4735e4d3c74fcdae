//! The fields that a provider's JSON Schema names, as commands show them and ask for them.

use prost_types::value::Kind;
use prost_types::{Struct, Value};

use credvault_proto::v1;

/// A field of a credential or of a config.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Field {
    /// The name that the vault knows it by.
    pub(super) name: String,
    /// The title that people know it by.
    pub(super) title: String,
    /// Whether there is no connection without it.
    pub(super) required: bool,
}

/// The fields that a schema names, those that are required first.
pub(super) fn fields(schema: Option<&Struct>) -> Vec<Field> {
    let member = |name: &str| schema.and_then(|schema| schema.fields.get(name));
    let Some(Kind::StructValue(properties)) = member("properties").and_then(kind) else { return Vec::new() };
    let required: Vec<&str> = match member("required").and_then(kind) {
        Some(Kind::ListValue(list)) => list.values.iter().filter_map(text).collect(),
        Some(_) | None => Vec::new(),
    };
    let field = |(name, property): (&String, &Value)| {
        let title = match kind(property) {
            Some(Kind::StructValue(property)) => property.fields.get("title").and_then(text),
            Some(_) | None => None,
        };
        Field {
            title: title.unwrap_or(name).to_owned(),
            required: required.contains(&name.as_str()),
            name: name.clone(),
        }
    };
    let mut fields: Vec<Field> = properties.fields.iter().map(field).collect();
    fields.sort_by_key(|field| !field.required);
    fields
}

/// The secret fields of one of a provider's auth modes; of its only one, if none is named.
pub(super) fn secret_fields(provider: &v1::Provider, auth_mode: &str) -> Option<Vec<Field>> {
    let mode = match (provider.auth_modes.as_slice(), auth_mode) {
        ([only], "") => Some(only),
        (modes, name) => modes.iter().find(|mode| mode.name == name),
    };
    mode.map(|mode| fields(mode.credential_schema.as_ref()))
}

fn kind(value: &Value) -> Option<&Kind> {
    value.kind.as_ref()
}

fn text(value: &Value) -> Option<&str> {
    match kind(value) {
        Some(Kind::StringValue(text)) => Some(text),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::grpc::struct_of;

    #[test]
    fn required_fields_come_first_and_a_field_without_a_title_has_its_name() {
        let schema = json!({
            "properties": { "a": { "title": "Key" }, "b": {}, "c": { "title": "Secret" } },
            "required": ["c"],
        });
        let schema = struct_of(schema.as_object().expect("an object"));
        let found = fields(Some(&schema));
        let found: Vec<_> =
            found.iter().map(|field| (field.name.as_str(), field.title.as_str(), field.required)).collect();
        assert_eq!(found, [("c", "Secret", true), ("a", "Key", false), ("b", "b", false)]);
        assert!(fields(None).is_empty() && fields(Some(&Struct::default())).is_empty());

        let mode = |name: &str| v1::AuthMode {
            name: name.to_owned(),
            credential_schema: Some(schema.clone()),
            ..Default::default()
        };
        let one = v1::Provider { auth_modes: vec![mode("key")], ..Default::default() };
        assert_eq!(secret_fields(&one, "").map(|fields| fields.len()), Some(3));
        let two = v1::Provider { auth_modes: vec![mode("key"), mode("token")], ..Default::default() };
        assert_eq!(secret_fields(&two, ""), None);
        assert_eq!(secret_fields(&two, "token").map(|fields| fields.len()), Some(3));
    }
}
