//! Credential delivery: the account's owner consents in a browser, the provider posts the credential to the vault from
//! server to server, and sends the browser back only then. WooCommerce works this way.

use std::collections::BTreeMap;

use credvault_domain::{FieldName, SecretFields};
use serde_json::Value;

use crate::consent_page::ConsentPage;
use crate::path::Path;
use crate::scopes::Scopes;

/// How a provider delivers a credential.
#[derive(Debug)]
pub struct Delivery {
    /// The page that the browser is sent to.
    pub page: ConsentPage,
    /// The scopes that are asked for.
    pub scopes: Scopes,
    /// Where the posted JSON has the state.
    pub(crate) state: Path,
    /// Where the posted JSON has each secret field.
    pub(crate) fields: BTreeMap<FieldName, Path>,
    pub(crate) callback: DeliveryCallback,
}

/// How the browser's return is read.
#[derive(Debug)]
pub(crate) struct DeliveryCallback {
    pub(crate) state_parameter: String,
    pub(crate) success: BTreeMap<String, String>,
}

impl Delivery {
    /// The state in what the provider has posted.
    pub fn state(&self, posted: &Value) -> Option<String> {
        self.state.text(posted)
    }

    /// The secret fields in what the provider has posted. `None` if one of them is missing or empty.
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
        &self.callback.state_parameter
    }

    /// Whether the callback says that the account's owner has consented.
    pub fn succeeded(&self, parameters: &BTreeMap<String, String>) -> bool {
        self.callback.success.iter().all(|(name, value)| parameters.get(name) == Some(value))
    }
}
