//! A hand-off of keys: the owner consents in a browser, the provider posts the keys to the vault, from server to server,
//! and sends the browser back only then. WooCommerce does so.

use std::collections::BTreeMap;

use credvault_domain::{FieldName, SecretFields};
use serde_json::Value;

use crate::oauth::Scopes;
use crate::path::Path;
use crate::template::Template;

/// How a provider hands over keys.
#[derive(Debug)]
pub struct HandOff {
    pub(crate) url: Template,
    pub(crate) query: Vec<(Template, Template)>,
    pub(crate) scopes: Scopes,
    /// Where the state stands in what the provider posts.
    pub(crate) state: Path,
    /// Where each secret field stands in it.
    pub(crate) fields: BTreeMap<FieldName, Path>,
    pub(crate) callback: CallbackRules,
}

/// How the browser's return is read.
#[derive(Debug)]
pub(crate) struct CallbackRules {
    pub(crate) state: String,
    pub(crate) success: BTreeMap<String, String>,
}

impl HandOff {
    /// The state that keys are posted for.
    pub fn state(&self, posted: &Value) -> Option<String> {
        self.state.text(posted)
    }

    /// The fields that were posted; `None` if one is missing or empty.
    pub fn fields(&self, posted: &Value) -> Option<SecretFields> {
        let mut fields = SecretFields::default();
        for (name, path) in &self.fields {
            let value = path.of(posted)?.as_str().filter(|value| !value.is_empty())?;
            fields.set(name.clone(), value.into());
        }
        Some(fields)
    }

    /// The callback's parameter that holds the state.
    pub fn state_parameter(&self) -> &str {
        &self.callback.state
    }

    /// Whether the callback says that the owner has consented.
    pub fn succeeded(&self, parameters: &BTreeMap<String, String>) -> bool {
        self.callback.success.iter().all(|(name, value)| parameters.get(name) == Some(value))
    }
}
