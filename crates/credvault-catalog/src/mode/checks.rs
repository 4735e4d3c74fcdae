//! What a mode accepts as config and as credential. Violations name the field and the rule and never the value.

use std::collections::BTreeMap;

use credvault_domain::{Config, FieldName, SecretFields, Violations};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::assertion::AssertionTemplates;
use crate::field::listed;
use crate::mode::Mode;
use crate::schema;
use crate::template::Placeholder;

impl Mode {
    /// The config as it is stored: each value in the one spelling that all programs read alike. `path` is the config's
    /// name in the request.
    ///
    /// # Errors
    /// The same as [`Mode::check_config`].
    pub fn accepted_config(&self, path: &str, config: Config) -> Result<Config, Violations> {
        let plain = |(name, value): (String, Value)| match self.config.get(name.as_str()) {
            Some(field) => (name, field.plain(value)),
            None => (name, value),
        };
        let config = Config::new(config.into_object().into_iter().map(plain).collect());
        let config = config.map_err(|rule| Violations::of(path, rule.to_string()))?;
        self.check_config(path, &config).map(|()| config)
    }

    /// Checks a config. `path` is the config's name in the request.
    ///
    /// # Errors
    /// A violation for each setting that is missing, unknown or wrong.
    pub fn check_config(&self, path: &str, config: &Config) -> Result<(), Violations> {
        let mut violations = Violations::default();
        for (name, field) in self.config.iter().filter(|(_, field)| field.required) {
            if config.get(name.as_str()).is_none() {
                violations.add(format!("{path}.{name}"), format!("must be given: {}", field.title));
            }
        }
        for (name, value) in config.iter() {
            if let Err((place, rule)) = self.check_setting(path, name, value, config) {
                violations.add(place, rule);
            }
        }
        violations.into_result()
    }

    /// Checks one setting. The error is the place and the rule of a violation.
    fn check_setting(
        &self,
        path: &str,
        name: &str,
        value: &Value,
        config: &Config,
    ) -> Result<(), (String, String)> {
        if let Some(field) = self.config.get(name) {
            let fits = || field.check_dependency(value, |other| config.get(other).cloned());
            return field
                .check_value(value)
                .and_then(|()| fits())
                .map_err(|rule| (format!("{path}.{name}"), rule));
        }
        if self.secrets.contains_key(name) {
            let rule = "is a secret: put it into the credential instead".to_owned();
            return Err((format!("{path}.{name}"), rule));
        }
        if self.additional_fields && FieldName::parse(name).is_ok() {
            return Ok(());
        }
        // The name is not repeated: it may be a secret that was pasted into the wrong place.
        Err((path.to_owned(), format!("has an unknown setting; it takes {}", listed(&self.config))))
    }

    /// Checks a credential. `path` is the credential's name in the request.
    ///
    /// # Errors
    /// A violation for each field that is missing, unknown or wrong.
    pub fn check_secrets(&self, path: &str, secrets: &SecretFields) -> Result<(), Violations> {
        let mut violations = Violations::default();
        if secrets.is_empty() {
            violations.add(path, format!("must not be empty; it takes {}", listed(&self.secrets)));
            return Err(violations);
        }
        // A refresh token is enough: the first fetch gets the access token.
        let minted = self.refreshes() && secrets.get("refresh_token").is_some();
        let spared = |name: &FieldName| minted && name.as_str() == "access_token";
        for (name, field) in self.secrets.iter().filter(|(_, field)| field.required) {
            if secrets.get(name.as_str()).is_none() && !spared(name) {
                violations.add(format!("{path}[{name}]"), format!("must be given: {}", field.title));
            }
        }
        for (name, value) in secrets.iter() {
            match self.secrets.get(name) {
                Some(field) => {
                    if let Err(rule) = field.check_text(value.expose_secret()) {
                        violations.add(format!("{path}[{name}]"), rule);
                    }
                }
                None if self.additional_fields => {}
                None => {
                    violations.add(path, format!("has an unknown field; it takes {}", listed(&self.secrets)))
                }
            }
        }
        violations.into_result()?;
        match self.check_signing_key(secrets) {
            Some((field, rule)) => Err(Violations::of(format!("{path}[{field}]"), rule)),
            None => Ok(()),
        }
    }

    /// Signs something with the key that signs assertions. `Some` with the key's field and the rule that it breaks, if
    /// it cannot sign.
    fn check_signing_key(&self, secrets: &SecretFields) -> Option<(String, String)> {
        let assertion = self.signing_assertion()?;
        let (field, prefix) = match assertion.key.placeholders().next()? {
            Placeholder::Secret(field) => (field.clone(), String::new()),
            Placeholder::Member(field, member) => {
                (field.clone(), format!("must have another {member}, which "))
            }
            Placeholder::Config(_) | Placeholder::Derived(_) | Placeholder::App(_) | Placeholder::Flow(_) => {
                return None;
            }
        };
        let key = self.signing_key(assertion, secrets)?;
        let error = assertion.try_key(&key).err()?;
        Some((field, format!("{prefix}{error}")))
    }

    /// Whether a fetch returns the key that access tokens are minted from. Such a fetch is of use to the caller even
    /// while no access token can be minted.
    pub fn hands_out_key(&self) -> bool {
        let key = self.signing_assertion().and_then(|assertion| assertion.key.placeholders().next());
        match key {
            Some(Placeholder::Secret(field) | Placeholder::Member(field, _)) => {
                self.secrets.get(field.as_str()).is_some_and(|field| !field.vault_only)
            }
            _ => false,
        }
    }

    fn signing_assertion(&self) -> Option<&AssertionTemplates> {
        let oauth = self.oauth()?;
        let grant = oauth.refresh.as_ref().and_then(|refresh| refresh.assertion.as_ref());
        grant.or(oauth.client_assertion.as_ref())
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

    /// Whether a fetch leaves the field out unless policy permits it: refresh tokens, app secrets, webhook secrets.
    pub fn is_vault_only(&self, name: &FieldName) -> bool {
        self.secrets.get(name).is_some_and(|field| field.vault_only)
    }

    /// The JSON Schema (2020-12) of the config.
    pub fn config_schema(&self) -> Value {
        schema::object(&self.config, false, self.additional_fields)
    }

    /// The JSON Schema (2020-12) of the credential. Every field in it is `writeOnly`.
    pub fn credential_schema(&self) -> Value {
        schema::object(&self.secrets, true, self.additional_fields)
    }
}
