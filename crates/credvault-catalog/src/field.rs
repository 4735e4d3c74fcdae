//! One field of a config or a credential, and the rules for its value.

use std::collections::BTreeMap;

use credvault_domain::mask;
use regex::Regex;
use serde_json::Value;

use crate::file::{Belongs, FieldFile, FieldKind};

/// A field with its rules, ready to check values.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) kind: FieldKind,
    pub(crate) required: bool,
    pub(crate) pattern: Option<Regex>,
    pub(crate) expects: Option<String>,
    pub(crate) values: Vec<String>,
    pub(crate) min_length: usize,
    pub(crate) max_length: Option<usize>,
    pub(crate) default: Option<Value>,
    pub(crate) belongs: Option<Belongs>,
    pub(crate) members: Vec<String>,
    pub(crate) fixed_members: BTreeMap<String, String>,
    pub(crate) enum_members: BTreeMap<String, Vec<String>>,
    pub(crate) hint_member: Option<String>,
    pub(crate) vault_only: bool,
}

impl Field {
    /// Checks a field's own definition.
    ///
    /// # Errors
    /// The key within the field, and what is wrong with it.
    pub(crate) fn from_file(file: FieldFile, secret: bool) -> Result<Self, (&'static str, String)> {
        let pattern = file.pattern.as_deref().map(|text| {
            if !(text.starts_with('^') && text.ends_with('$')) {
                return Err(("pattern", "must begin with ^ and end with $".to_owned()));
            }
            Regex::new(text).map_err(|_| ("pattern", "is not a regular expression".to_owned()))
        });
        let pattern = pattern.transpose()?;
        let is_json = file.kind == FieldKind::Json;
        if secret && matches!(file.kind, FieldKind::Integer | FieldKind::Boolean) {
            return Err(("type", "must be string, text, json or https_url for a secret".to_owned()));
        }
        if !secret && is_json {
            return Err(("type", "must not be json in a config".to_owned()));
        }
        let has_members = !file.members.is_empty()
            || !file.fixed_members.is_empty()
            || !file.enum_members.is_empty()
            || file.hint_member.is_some();
        if has_members && !is_json {
            return Err(("type", "must be json for a field with members".to_owned()));
        }
        if secret && file.belongs.is_some() {
            return Err(("belongs", "must not be given for a secret".to_owned()));
        }
        if secret && file.default.is_some() {
            return Err(("default", "must not be given for a secret".to_owned()));
        }
        let field = Self {
            title: file.title,
            description: file.description,
            kind: file.kind,
            required: file.required,
            pattern,
            expects: file.expects,
            values: file.values,
            min_length: file.min_length.unwrap_or(1),
            max_length: file.max_length,
            default: file.default,
            belongs: file.belongs,
            members: file.members,
            fixed_members: file.fixed_members,
            enum_members: file.enum_members,
            hint_member: file.hint_member,
            vault_only: file.vault_only,
        };
        match field.default.as_ref().map(|default| field.check_value(default)) {
            // The rule that it breaks may name what stands in the file.
            Some(Err(_)) => Err(("default", "must be a value that the field accepts".to_owned())),
            _ => Ok(field),
        }
    }

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

    /// A config value as it is stored.
    pub(crate) fn plain(&self, value: Value) -> Value {
        match (self.kind, value.as_str().and_then(plain_https_url)) {
            (FieldKind::HttpsUrl, Some(plain)) => Value::String(plain),
            _ => value,
        }
    }

    /// Checks that a setting goes with the one that it belongs to.
    ///
    /// # Errors
    /// Which of its values does not; they are those of the provider's file.
    pub(crate) fn check_belongs(
        &self,
        value: &Value,
        other: impl Fn(&str) -> Option<Value>,
    ) -> Result<(), String> {
        let Some(Belongs { to, values }) = &self.belongs else { return Ok(()) };
        let (Some(text), Some(Value::String(other))) = (value.as_str(), other(to)) else { return Ok(()) };
        let known = text.split(',').filter_map(|item| values.get_key_value(item.trim()));
        match known.into_iter().find(|(_, expected)| **expected != other) {
            Some((item, expected)) => Err(format!(
                "must fit the {to}: {item} belongs to {expected}, so choose that {to} or another value"
            )),
            None => Ok(()),
        }
    }

    /// Checks a text, secret or not.
    ///
    /// # Errors
    /// The rule that it breaks, without the value.
    pub(crate) fn check_text(&self, text: &str) -> Result<(), String> {
        let length = text.chars().count();
        if length < self.min_length {
            return Err(match self.min_length {
                1 => "must not be empty".to_owned(),
                least => format!("must have at least {least} characters"),
            });
        }
        if let Some(most) = self.max_length.filter(|most| length > *most) {
            return Err(format!("must have at most {most} characters"));
        }
        let lines = matches!(self.kind, FieldKind::Json | FieldKind::Text);
        if !lines && text.chars().any(char::is_control) {
            return Err(
                "must be one line without control characters (was a line end copied along?)".to_owned()
            );
        }
        if !lines && text.trim() != text {
            return Err("must not begin or end with a blank".to_owned());
        }
        match self.kind {
            FieldKind::Json => self.check_json(text)?,
            FieldKind::HttpsUrl => check_https_url(text)?,
            _ => {}
        }
        if !self.values.is_empty() && !self.values.iter().any(|value| value == text) {
            return Err(format!("must be one of {}", self.values.join(", ")));
        }
        match &self.pattern {
            Some(pattern) if !pattern.is_match(text) => Err(match &self.expects {
                Some(expects) => format!("must be {expects}"),
                None => format!("must match {pattern}"),
            }),
            _ => Ok(()),
        }
    }

    fn check_json(&self, text: &str) -> Result<(), String> {
        let Ok(Value::Object(object)) = serde_json::from_str(text) else {
            return Err("must be a JSON object".to_owned());
        };
        for name in &self.members {
            if !matches!(object.get(name), Some(Value::String(value)) if !value.is_empty()) {
                return Err(format!("must have a string \"{name}\" in its JSON"));
            }
        }
        for (name, expected) in &self.fixed_members {
            if object.get(name).and_then(Value::as_str) != Some(expected) {
                return Err(format!("must have \"{name}\": \"{expected}\" in its JSON"));
            }
        }
        for (name, values) in &self.enum_members {
            let given = object.get(name).filter(|value| !value.is_null());
            if given.is_some_and(|given| !values.iter().any(|value| given == value)) {
                return Err(format!("must have as \"{name}\" in its JSON one of {}", values.join(", ")));
            }
        }
        Ok(())
    }

    /// The hint that may be shown of a secret.
    pub(crate) fn hint(&self, text: &str) -> Option<String> {
        match &self.hint_member {
            Some(member) => {
                let object: Value = serde_json::from_str(text).ok()?;
                let value = object.get(member)?.as_str()?;
                // Only what looks like a name is shown whole: something else may have been pasted there.
                let name = value.len() <= 256 && value.chars().all(|c| c.is_ascii_graphic());
                if name { Some(value.to_owned()) } else { mask(value) }
            }
            None => mask(text),
        }
    }
}

fn check_https_url(text: &str) -> Result<(), String> {
    match plain_https_url(text) {
        Some(plain) if plain == text => Ok(()),
        _ => Err(
            "must be an https URL in its plain form, such as https://shop.example or https://shop.example/sub: no user, \
             query or fragment, and nothing that programs read differently, such as a backslash or a host that is not ASCII"
                .to_owned(),
        ),
    }
}

/// The one spelling of an https URL that all programs read alike: the host in lower case, no port if it is 443, no slash at
/// the end. `None` for what differs from it in more than that: two programs might go to two hosts.
fn plain_https_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let bare = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.host_str().is_some_and(|host| !host.ends_with('.'));
    let (scheme, rest) = text.split_at_checked("https://".len())?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(":443").unwrap_or(&authority);
    let given = format!("{}{authority}{}", scheme.to_ascii_lowercase(), path.trim_end_matches('/'));
    (bare && url.as_str().trim_end_matches('/') == given).then_some(given)
}
