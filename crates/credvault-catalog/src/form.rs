//! The fields of an auth mode as a form for people: what each is called, where to find it, and its rules. The same facts as in
//! the JSON Schema; the rules themselves are checked when the values arrive.

use credvault_domain::FieldName;
use serde_json::Value;

use crate::field::{Field, FieldKind};
use crate::mode::Mode;
use crate::spelling::Spelling;

/// What a person types into a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InputKind {
    /// One line of printable characters.
    Line,
    /// Several lines, such as a key in PEM.
    Text,
    /// A whole JSON object, such as a service account's key file.
    Json,
    /// An https URL without user, query or fragment.
    Url,
    /// A whole number, negative or not.
    Number,
    /// Yes or no: `true` or `false`.
    Switch,
}

/// A field of a form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FormField {
    /// The field's name in requests.
    pub name: FieldName,
    /// The field's name for people.
    pub title: String,
    /// Where people find the value, if the provider's file says so.
    pub help: Option<String>,
    /// What is typed into it.
    pub kind: InputKind,
    /// Whether the value is masked, and never shown again.
    pub secret: bool,
    /// Whether it must be filled.
    pub required: bool,
    /// Whether the value may be written in several ways: its rules hold for its one spelling, which only the vault knows.
    pub respelled: bool,
    /// The regular expression that the value must match.
    pub pattern: Option<String>,
    /// The same in words, as the end of "must be".
    pub pattern_text: Option<String>,
    /// The fewest characters of the value.
    pub min_length: usize,
    /// The most characters of the value.
    pub max_length: Option<usize>,
    /// The values to choose from; empty if the value is free.
    pub options: Vec<String>,
    /// The value that counts if the field is left out; never a secret.
    pub default: Option<String>,
}

impl Mode {
    /// The settings that a person fills in. Those that come from an issuer's metadata are not among them.
    pub fn settings_form(&self) -> Vec<FormField> {
        let found = |name: &FieldName| {
            self.discovery.as_ref().is_some_and(|discovery| discovery.settings.contains_key(name.as_str()))
        };
        let fields = self.config.iter().filter(|(name, _)| !found(name));
        fields.map(|(name, field)| form_field(name, field, false)).collect()
    }

    /// The secrets that a person fills in; none if only a consent gives them. An access token that the vault gets with the others
    /// is not among them.
    pub fn secrets_form(&self) -> Vec<FormField> {
        if !self.takes_values() {
            return Vec::new();
        }
        let asked = self.secrets.iter().filter(|(name, _)| !self.gets(name));
        asked.map(|(name, field)| form_field(name, field, true)).collect()
    }

    /// Whether the vault gets this field with the others.
    fn gets(&self, name: &FieldName) -> bool {
        name.as_str() == "access_token" && self.refreshes() && !self.refresh_sends("access_token")
    }

    /// Whether the account's owner can consent in a browser, and the provider gives the credential after that.
    pub fn asks_consent(&self) -> bool {
        self.consent_scopes().is_some()
    }

    /// Whether a caller can give the credential: tokens that a consent gives are not for people.
    pub fn takes_values(&self) -> bool {
        self.code_grant().is_none()
    }

    /// Whether a person can fill in the credential. A form has no field for secrets that the provider's file does not name.
    pub fn can_be_filled_in(&self) -> bool {
        !self.secrets_form().is_empty()
    }
}

fn form_field(name: &FieldName, field: &Field, secret: bool) -> FormField {
    FormField {
        name: name.clone(),
        title: field.title.clone(),
        help: field.description.clone(),
        kind: match field.kind {
            FieldKind::String => InputKind::Line,
            FieldKind::Text => InputKind::Text,
            FieldKind::Json => InputKind::Json,
            FieldKind::HttpsUrl => InputKind::Url,
            FieldKind::Integer => InputKind::Number,
            FieldKind::Boolean => InputKind::Switch,
        },
        secret,
        required: field.required,
        respelled: field.spelling != Spelling::Exact,
        pattern: field.pattern.as_ref().map(|pattern| pattern.as_str().to_owned()),
        pattern_text: field.pattern_description.clone(),
        min_length: field.min_length,
        max_length: field.max_length,
        options: field.values.clone(),
        default: field.default.as_ref().filter(|_| !secret).map(text_of),
    }
}

/// A value as a person would type it.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
