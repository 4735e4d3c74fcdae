//! The shape of fields and derived values in a provider file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::field::{DependsOn, FieldKind};
use crate::spelling::Spelling;

/// A field of a config or a credential. The keys are those of JSON Schema where that has one.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldFile {
    /// The field's name for people.
    pub(crate) title: String,
    /// Where the user finds the value.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// The type of the value.
    #[serde(default, rename = "type")]
    pub(crate) kind: FieldKind,
    /// Whether the field must be given.
    #[serde(default)]
    pub(crate) required: bool,
    /// A regular expression that the whole value must match.
    #[serde(default)]
    pub(crate) pattern: Option<String>,
    /// What matches the pattern, as the end of "must be". Messages show it instead of the pattern.
    #[serde(default)]
    pub(crate) pattern_description: Option<String>,
    /// How a value is brought into its one spelling before it is checked. Settings only.
    #[serde(default)]
    pub(crate) spelling: Spelling,
    /// The only values that are accepted.
    #[serde(default, rename = "enum")]
    pub(crate) values: Vec<String>,
    /// The least number of characters.
    #[serde(default)]
    pub(crate) min_length: Option<usize>,
    /// The greatest number of characters.
    #[serde(default)]
    pub(crate) max_length: Option<usize>,
    /// The value in templates if the field is not given. Settings only.
    #[serde(default)]
    pub(crate) default: Option<Value>,
    /// The values that lead to a place for trials only, whose outages are no incident of the provider. Settings only.
    #[serde(default)]
    pub(crate) sandboxes: Vec<String>,
    /// The setting that the values must fit. Settings only.
    #[serde(default)]
    pub(crate) depends_on: Option<DependsOn>,
    /// Members of the JSON object that must be nonempty texts.
    #[serde(default)]
    pub(crate) required_members: Vec<String>,
    /// Members of the JSON object that must have this value.
    #[serde(default)]
    pub(crate) const_members: BTreeMap<String, String>,
    /// Members of the JSON object that must have one of these values, if they are there.
    #[serde(default)]
    pub(crate) enum_members: BTreeMap<String, Vec<String>>,
    /// The member of the JSON object that is shown as the hint.
    #[serde(default)]
    pub(crate) hint_member: Option<String>,
    /// Whether a fetch leaves the field out, because only the vault needs it.
    #[serde(default)]
    pub(crate) vault_only: bool,
}

/// A value that follows from others, in one of five ways.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct DerivedFile {
    /// A table that is looked up by a setting's value.
    #[serde(default)]
    pub(crate) lookup: Option<LookupFile>,
    /// An HMAC of a text.
    #[serde(default)]
    pub(crate) hmac: Option<HmacFile>,
    /// A text that counts only for some values of a setting.
    #[serde(default)]
    pub(crate) when: Option<WhenFile>,
    /// One of the parts of a text.
    #[serde(default)]
    pub(crate) part: Option<PartFile>,
    /// A claim of a JWT.
    #[serde(default)]
    pub(crate) claim: Option<ClaimFile>,
}

/// A table that is looked up by a setting's value.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookupFile {
    /// The setting, which has an enum.
    pub(crate) setting: String,
    /// The derived value for each value of the setting.
    pub(crate) values: BTreeMap<String, String>,
}

/// A text that counts only for some values of a setting. Otherwise the derived value is missing.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhenFile {
    /// The setting, which has an enum.
    pub(crate) setting: String,
    /// The values of the setting for which the text counts.
    pub(crate) one_of: Vec<String>,
    /// The text, a template.
    pub(crate) value: String,
}

/// HMAC-SHA256 in lower-case hexadecimal.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HmacFile {
    /// The key, a template.
    pub(crate) key: String,
    /// The text that is authenticated, a template.
    pub(crate) message: String,
}

/// One of the parts of a text, such as the id in a key.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartFile {
    /// The text, a template.
    pub(crate) of: String,
    /// The text between two parts.
    pub(crate) separator: String,
    /// The number of the part, counted from 0.
    pub(crate) index: usize,
}

/// A claim of a JWT, whose signature is not checked.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimFile {
    /// The JWT, a template.
    pub(crate) token: String,
    /// The name of the claim.
    pub(crate) name: String,
}
