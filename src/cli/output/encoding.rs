//! Answers for programs: protobuf's JSON with every field, and the same as YAML.

use anyhow::Context as _;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde::{Serialize, Serializer};
use serde_json::Value;
use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlEmitter};

/// Whole numbers are numbers. A field with its default value is there, too: a script finds each name.
const OPTIONS: SerializeOptions =
    SerializeOptions::new().stringify_64_bit_integers(false).skip_default_fields(false);

/// A message of the API that is printed under the names of protobuf's JSON.
pub(super) struct Answer(DynamicMessage);

impl Answer {
    /// A message of the type `kind` of the API.
    pub(super) fn new(descriptor: &MessageDescriptor, message: &impl Message) -> anyhow::Result<Self> {
        Ok(Self(DynamicMessage::decode(descriptor.clone(), message.encode_to_vec().as_slice())?))
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize_with_options(serializer, &OPTIONS)
    }
}

/// What a list prints: its items, and what the next page begins with.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<'a, T> {
    pub(super) items: &'a [T],
    /// Empty after the last page.
    pub(super) next_page_token: &'a str,
}

/// The descriptor of a type of the API. Each call decodes all of them anew.
pub(super) fn descriptor(kind: &str) -> anyhow::Result<MessageDescriptor> {
    let pool = DescriptorPool::decode(credvault_proto::DESCRIPTORS)?;
    pool.get_message_by_name(&format!("credvault.v1.{kind}")).context("a message without a descriptor")
}

/// A value as the text of a JSON document, without a line feed at its end.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    serde_json::to_string_pretty(value).context("the answer cannot be printed as JSON")
}

/// The same in one line.
pub(super) fn json_line(value: &impl Serialize) -> anyhow::Result<String> {
    serde_json::to_string(value).context("the answer cannot be printed as JSON")
}

/// A value as the text of a YAML document, without a line feed at its end.
pub(super) fn yaml(value: &impl Serialize) -> anyhow::Result<String> {
    let value = serde_json::to_value(value).context("the answer cannot be printed as YAML")?;
    let mut text = String::new();
    YamlEmitter::new(&mut text).dump(&yaml_of(value)).context("the answer cannot be printed as YAML")?;
    Ok(text)
}

fn yaml_of(value: Value) -> Yaml {
    match value {
        Value::Null => Yaml::Null,
        Value::Bool(value) => Yaml::Boolean(value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Yaml::Integer(whole),
            None => Yaml::Real(number.to_string()),
        },
        Value::String(text) => Yaml::String(text),
        Value::Array(items) => Yaml::Array(items.into_iter().map(yaml_of).collect()),
        Value::Object(members) => {
            let pairs = members.into_iter().map(|(name, value)| (Yaml::String(name), yaml_of(value)));
            Yaml::Hash(pairs.collect::<Hash>())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use yaml_rust2::YamlLoader;

    use credvault_proto::v1;

    use super::*;

    #[test]
    fn names_are_there_whatever_their_value_and_whole_numbers_are_numbers() {
        let connection = v1::Connection { id: "1".to_owned(), current_version: 3, ..Default::default() };
        let answer = Answer::new(&descriptor("Connection").expect("a type"), &connection).expect("an answer");
        let list = List { items: &[answer], next_page_token: "p2" };
        let value: Value = serde_json::from_str(&json(&list).expect("JSON")).expect("JSON");
        let item = &value["items"][0];
        assert_eq!((&item["currentVersion"], &item["enabled"]), (&json!(3), &json!(false)));
        assert_eq!((&item["accountName"], &item["scopesGranted"]), (&json!(""), &json!([])));
        assert_eq!(value["nextPageToken"], "p2");
    }

    #[test]
    fn yaml_says_the_same_as_json() {
        let value = json!({
            "text": "yes", "number": 7, "long": "line 1\nline 2: # 'no' \"comment\"", "empty": "",
            "list": [true, null, 1.5, {"a": "0x1", "b": "- c"}], "none": {}, "time": "2026-11-27T08:00:00Z",
        });
        let text = yaml(&value).expect("YAML");
        assert_eq!(YamlLoader::load_from_str(&text).expect("YAML"), [yaml_of(value)]);
    }
}
