//! Derived values, `{derived.X}` in templates: how each one follows from settings, secrets or the app. The rule is
//! here; the value itself is computed in `values.rs`.

use std::collections::BTreeMap;

use crate::template::Template;

/// How a derived value follows from others.
#[derive(Clone, Debug)]
pub(crate) enum Derived {
    /// A table that is looked up by the value of a setting.
    Lookup { setting: String, values: BTreeMap<String, String> },
    /// HMAC-SHA256, in lower-case hexadecimal.
    Hmac { key: Template, message: Template },
    /// A text, while a setting has one of these values.
    When { setting: String, one_of: Vec<String>, value: Template },
    /// One of the parts of a text, counted from 0.
    Part { of: Template, separator: String, index: usize },
    /// A claim of a JWT that the provider gave. The signature is not checked, so no decision of trust may rest on it.
    Claim { token: Template, name: String },
}

impl Derived {
    /// The templates that the value is made of.
    pub(crate) fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Lookup { .. } => Vec::new(),
            Self::Hmac { key, message } => vec![key, message],
            Self::When { value, .. } => vec![value],
            Self::Part { of, .. } => vec![of],
            Self::Claim { token, .. } => vec![token],
        }
    }
}
