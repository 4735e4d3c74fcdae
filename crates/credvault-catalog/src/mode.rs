//! A way to authenticate at a provider: what its settings and secrets must be.

mod calls;
mod destinations;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use credvault_domain::{Config, FieldName, SecretFields, Violations};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

pub use calls::{Assertion, Given, Missing};
use destinations::Places;

use crate::derived::Derived;
use crate::field::Field;
use crate::handoff::HandOff;
use crate::oauth::{OAuth, Revoke, Scopes, Verify};
use crate::provider::listed;
use crate::request_auth::RequestTemplates;
use crate::schema;
use crate::template::Placeholder;

/// What kind of credential a mode has.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum ModeKind {
    /// Keys or tokens that stay as they are until somebody replaces them.
    Static,
    /// A key that mints short-lived tokens: a Google service account.
    ServiceAccount,
    /// OAuth 2.0, authorization code (RFC 6749, section 4.1).
    Oauth2Code,
    /// OAuth 2.0, client credentials (RFC 6749, section 4.4).
    Oauth2ClientCredentials,
}

/// A way to authenticate at a provider.
#[derive(Debug)]
pub struct Mode {
    /// What people call it.
    pub title: String,
    /// Its kind.
    pub kind: ModeKind,
    pub(crate) open: bool,
    pub(crate) config: BTreeMap<FieldName, Field>,
    pub(crate) secrets: BTreeMap<FieldName, Field>,
    pub(crate) derived: BTreeMap<String, Derived>,
    pub(crate) request: RequestTemplates,
    /// Whether what requests carry names the platform's app.
    pub request_names_app: bool,
    /// Which secrets of the app requests carry, as records name them. A fetch of such a mode takes the permission to have
    /// them.
    pub request_app_secrets: Vec<String>,
    /// Tokens: how they are got and kept fresh. `None` where nothing is ever renewed.
    pub oauth: Option<OAuth>,
    /// How the provider hands over keys, if it does.
    pub handoff: Option<HandOff>,
    pub(crate) revoke: Option<Revoke>,
    pub(crate) verify: Option<Verify>,
    pub(crate) places: OnceLock<Places>,
}

impl Mode {
    /// A config as it is stored: what was given, in the one spelling that all programs read alike. `path` is what the
    /// request calls it.
    ///
    /// # Errors
    /// As for [`Mode::check_config`].
    pub fn accepted_config(&self, path: &str, config: Config) -> Result<Config, Violations> {
        let plain = |(name, value): (String, Value)| match self.config.get(name.as_str()) {
            Some(field) => (name, field.plain(value)),
            None => (name, value),
        };
        // No value grows.
        let config = Config::from_stored(config.into_object().into_iter().map(plain).collect());
        self.check_config(path, &config).map(|()| config)
    }

    /// Checks a config; `path` is what the request calls it.
    ///
    /// # Errors
    /// A violation for each missing, unknown or wrong setting, without values.
    pub fn check_config(&self, path: &str, config: &Config) -> Result<(), Violations> {
        let mut violations = Violations::default();
        for (name, field) in
            self.config.iter().filter(|(name, field)| field.required && config.get(name.as_str()).is_none())
        {
            violations.add(format!("{path}.{name}"), format!("must be given: {}", field.title));
        }
        for (name, value) in config.iter() {
            let (rule, place) = match self.config.get(name) {
                Some(field) => {
                    let fits = || field.check_belongs(value, |other| config.get(other).cloned());
                    (field.check_value(value).and_then(|()| fits()).err(), format!("{path}.{name}"))
                }
                None if self.secrets.contains_key(name) => (
                    Some("is a secret: put it into the credential instead".to_owned()),
                    format!("{path}.{name}"),
                ),
                None if self.open && FieldName::parse(name).is_ok() => (None, String::new()),
                // The name is not repeated: it may be a secret that was pasted into the wrong place.
                None => (
                    Some(format!("has an unknown setting; it takes {}", listed(&self.config))),
                    path.to_owned(),
                ),
            };
            if let Some(rule) = rule {
                violations.add(place, rule);
            }
        }
        violations.into_result()
    }

    /// Checks a credential; `path` is what the request calls it.
    ///
    /// # Errors
    /// A violation for each missing, unknown or wrong field, without values.
    pub fn check_secrets(&self, path: &str, secrets: &SecretFields) -> Result<(), Violations> {
        let mut violations = Violations::default();
        if secrets.is_empty() {
            violations.add(path, format!("must not be empty; it takes {}", listed(&self.secrets)));
            return Err(violations);
        }
        for (name, field) in
            self.secrets.iter().filter(|(name, field)| field.required && secrets.get(name.as_str()).is_none())
        {
            violations.add(format!("{path}[{name}]"), format!("must be given: {}", field.title));
        }
        for (name, value) in secrets.iter() {
            match self.secrets.get(name) {
                Some(field) => {
                    if let Err(rule) = field.check_text(value.expose_secret()) {
                        violations.add(format!("{path}[{name}]"), rule);
                    }
                }
                None if self.open => {}
                None => {
                    violations.add(path, format!("has an unknown field; it takes {}", listed(&self.secrets)))
                }
            }
        }
        violations.into_result()?;
        match self.check_key(secrets) {
            Some((field, rule)) => Err(Violations::of(format!("{path}[{field}]"), rule)),
            None => Ok(()),
        }
    }

    /// Has a key that signs assertions sign one: the field of one that cannot, and why.
    fn check_key(&self, secrets: &SecretFields) -> Option<(String, String)> {
        let key = &self.oauth.as_ref()?.assertion.as_ref()?.key;
        let (field, member) = match key.placeholders().next()? {
            Placeholder::Secret(field) => (field.clone(), String::new()),
            Placeholder::Member(field, member) => {
                (field.clone(), format!("must have another {member}, which "))
            }
            _ => return None,
        };
        let error = match self.rendered_key(key, secrets) {
            Some(key) => credvault_crypto::sign_rs256(key.expose_secret(), b"").err()?,
            None => return None,
        };
        Some((field, format!("{member}{error}")))
    }

    /// The masked hints of a credential, by field.
    pub fn hints(&self, secrets: &SecretFields) -> BTreeMap<String, String> {
        let hint = |(name, value): (&FieldName, &SecretString)| {
            let text = value.expose_secret();
            let hint = match self.secrets.get(name) {
                Some(field) => field.hint(text),
                None => credvault_domain::mask(text),
            };
            Some((name.as_str().to_owned(), hint?))
        };
        secrets.iter().filter_map(hint).collect()
    }

    /// Whether a fetch leaves this field out unless policy says otherwise: refresh tokens, app secrets, webhook secrets.
    pub fn is_vault_only(&self, name: &FieldName) -> bool {
        self.secrets.get(name).is_some_and(|field| field.vault_only)
    }

    /// Whether a fetch gives out the very key that access tokens are minted from, so that it serves its owner even where
    /// none could be minted.
    pub fn hands_out_key(&self) -> bool {
        let assertion = self.oauth.as_ref().and_then(|oauth| oauth.assertion.as_ref());
        assertion.and_then(|assertion| assertion.key.placeholders().next()).is_some_and(|placeholder| {
            let (Placeholder::Secret(field) | Placeholder::Member(field, _)) = placeholder else {
                return false;
            };
            self.secrets.get(field.as_str()).is_some_and(|field| !field.vault_only)
        })
    }

    /// Whether the provider can be asked whether a credential of this mode works.
    pub fn is_verifiable(&self) -> bool {
        self.verify.is_some()
    }

    /// Which scopes a consent asks for. `None` if the mode has no consent.
    pub fn consent_scopes(&self) -> Option<&Scopes> {
        let oauth = self.oauth.as_ref().filter(|oauth| oauth.authorize.is_some());
        let handoff = self.handoff.as_ref().map(|handoff| &handoff.scopes);
        oauth.map(|oauth| &oauth.scopes).or(handoff)
    }

    /// The JSON Schema (2020-12) of the config.
    pub fn config_schema(&self) -> Value {
        schema::object(&self.config, false, self.open)
    }

    /// The JSON Schema (2020-12) of the credential; every field is `writeOnly`.
    pub fn credential_schema(&self) -> Value {
        schema::object(&self.secrets, true, self.open)
    }
}
