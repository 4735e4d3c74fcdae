//! One field of a config or a credential, and the rules for its value. Messages name the rule and never the value.

use std::collections::BTreeMap;

use credvault_domain::{FieldName, mask};
use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::https_url::{check_https_url, plain_https_url};
use crate::spelling::Spelling;

/// The longest member of a JSON secret that is shown whole as its hint, in bytes.
const MAX_HINT_BYTES: usize = 256;
/// A host that no provider has, in the forms in which a setting names one (RFC 6761 reserves the domain).
const FOREIGN_HOSTS: [&str; 2] = ["shop.example.net", "https://shop.example.net"];

/// A field with its rules.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) kind: FieldKind,
    pub(crate) required: bool,
    pub(crate) pattern: Option<Regex>,
    pub(crate) pattern_description: Option<String>,
    pub(crate) spelling: Spelling,
    pub(crate) values: Vec<String>,
    pub(crate) min_length: usize,
    pub(crate) max_length: Option<usize>,
    pub(crate) default: Option<Value>,
    pub(crate) sandboxes: Vec<String>,
    pub(crate) depends_on: Option<DependsOn>,
    pub(crate) required_members: Vec<String>,
    pub(crate) const_members: BTreeMap<String, String>,
    pub(crate) enum_members: BTreeMap<String, Vec<String>>,
    pub(crate) hint_member: Option<String>,
    pub(crate) vault_only: bool,
}

/// What type of value a field holds.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FieldKind {
    /// One line of printable characters.
    #[default]
    String,
    /// Several lines, such as a key in PEM.
    Text,
    /// A JSON object, as text. Secrets only.
    Json,
    /// An https URL without user, query or fragment.
    HttpsUrl,
    /// A whole number. Settings only.
    Integer,
    /// True or false. Settings only.
    Boolean,
}

/// The value that another setting must have for each value of this one, as a country determines its region. A value
/// that is not listed goes with any.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct DependsOn {
    /// The other setting's name.
    pub(crate) setting: String,
    /// The other setting's value, by each value of this one. A text with commas is several values.
    pub(crate) values: BTreeMap<String, String>,
}

impl Field {
    /// Checks a config value.
    ///
    /// # Errors
    /// The rule that it breaks, without the value.
    pub(crate) fn check_value(&self, value: &Value) -> Result<(), String> {
        match (self.kind, value) {
            (FieldKind::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(()),
            (FieldKind::Integer, _) => Err("must be a whole number".to_owned()),
            (FieldKind::Boolean, Value::Bool(_)) => Ok(()),
            (FieldKind::Boolean, _) => Err("must be true or false".to_owned()),
            (_, Value::String(text)) => self.check_text(text),
            _ => Err("must be a string".to_owned()),
        }
    }

    /// A config value as it is stored: an https URL in its plain form, a text in its one spelling and without blanks around
    /// it, everything else as it is.
    pub(crate) fn plain(&self, value: Value) -> Value {
        let plain = match self.kind {
            FieldKind::HttpsUrl => value.as_str().and_then(|text| plain_https_url(text.trim())),
            FieldKind::String => {
                let spelled = |text: &str| self.spelling.of(text).unwrap_or_else(|| text.trim().to_owned());
                value.as_str().map(spelled)
            }
            FieldKind::Text | FieldKind::Json | FieldKind::Integer | FieldKind::Boolean => None,
        };
        plain.map_or(value, Value::String)
    }

    /// Checks that a setting's value fits the setting that it depends on. `other` gives that setting's value.
    ///
    /// # Errors
    /// Which value does not fit. It is one of the provider file's own.
    pub(crate) fn check_dependency(
        &self,
        value: &Value,
        other: impl Fn(&str) -> Option<Value>,
    ) -> Result<(), String> {
        let Some(DependsOn { setting, values }) = &self.depends_on else { return Ok(()) };
        let (Some(text), Some(Value::String(other))) = (value.as_str(), other(setting)) else {
            return Ok(());
        };
        let known = text.split(',').filter_map(|item| values.get_key_value(item.trim()));
        match known.into_iter().find(|(_, expected)| **expected != other) {
            Some((item, expected)) => Err(format!(
                "must fit the {setting}: {item} belongs to {expected}, so choose that {setting} or another value"
            )),
            None => Ok(()),
        }
    }

    /// Checks a text, secret or not.
    ///
    /// # Errors
    /// The rule that it breaks, without the value.
    pub(crate) fn check_text(&self, text: &str) -> Result<(), String> {
        self.check_length(text)?;
        self.check_lines(text)?;
        match self.kind {
            FieldKind::Json => self.check_json(text)?,
            FieldKind::HttpsUrl => check_https_url(text)?,
            FieldKind::String | FieldKind::Text | FieldKind::Integer | FieldKind::Boolean => {}
        }
        if !self.values.is_empty() && !self.values.iter().any(|value| value == text) {
            return Err(format!("must be one of {}", self.values.join(", ")));
        }
        match &self.pattern {
            Some(pattern) if !pattern.is_match(text) => Err(match &self.pattern_description {
                Some(description) => format!("must be {description}"),
                None => format!("must match {pattern}"),
            }),
            _ => Ok(()),
        }
    }

    /// Whether the value can name a host of any domain, and not only one of the provider's own.
    pub(crate) fn names_any_host(&self) -> bool {
        FOREIGN_HOSTS.iter().any(|host| self.check_text(host).is_ok())
    }

    fn check_length(&self, text: &str) -> Result<(), String> {
        let length = text.chars().count();
        if length < self.min_length {
            return Err(match self.min_length {
                1 => "must not be empty".to_owned(),
                min => format!("must have at least {min} characters"),
            });
        }
        match self.max_length.filter(|max| length > *max) {
            Some(max) => Err(format!("must have at most {max} characters")),
            None => Ok(()),
        }
    }

    fn check_lines(&self, text: &str) -> Result<(), String> {
        if matches!(self.kind, FieldKind::Json | FieldKind::Text) {
            return Ok(());
        }
        if text.chars().any(char::is_control) {
            return Err(
                "must be one line without control characters (perhaps a line end was copied with it)"
                    .to_owned(),
            );
        }
        if text.trim() != text {
            return Err("must not begin or end with a blank".to_owned());
        }
        Ok(())
    }

    fn check_json(&self, text: &str) -> Result<(), String> {
        let Ok(Value::Object(object)) = serde_json::from_str(text) else {
            return Err("must be a JSON object".to_owned());
        };
        for name in &self.required_members {
            if !matches!(object.get(name), Some(Value::String(value)) if !value.is_empty()) {
                return Err(format!("must have a string \"{name}\" in its JSON"));
            }
        }
        for (name, expected) in &self.const_members {
            if object.get(name).and_then(Value::as_str) != Some(expected) {
                return Err(format!("must have \"{name}\": \"{expected}\" in its JSON"));
            }
        }
        for (name, values) in &self.enum_members {
            let given = object.get(name).filter(|value| !value.is_null());
            if given.is_some_and(|given| !values.iter().any(|value| given == value)) {
                return Err(format!(
                    "must have one of these values for \"{name}\" in its JSON: {}",
                    values.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// The hint that is shown for the secret `text`. `None` if the text is too short to show any of it.
    pub(crate) fn hint(&self, text: &str) -> Option<String> {
        match &self.hint_member {
            Some(member) => {
                let object: Value = serde_json::from_str(text).ok()?;
                let value = object.get(member)?.as_str()?;
                // Only a value that looks like a name is shown whole: a user may have pasted something else there.
                let name = value.len() <= MAX_HINT_BYTES && value.chars().all(|c| c.is_ascii_graphic());
                if name { Some(value.to_owned()) } else { mask(value) }
            }
            None => mask(text),
        }
    }
}

/// The names of `fields`, as a sentence lists them.
pub(crate) fn listed<T>(fields: &BTreeMap<FieldName, T>) -> String {
    if fields.is_empty() {
        return "none".to_owned();
    }
    fields.keys().map(FieldName::as_str).collect::<Vec<_>>().join(", ")
}
