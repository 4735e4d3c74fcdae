//! Settings that come from an issuer's metadata: what counts in it, and that no caller gives them.

use credvault_domain::{Config, FieldName, Violations};
use serde_json::{Map, Value};

use crate::field::FieldKind;
use crate::mode::Mode;

impl Mode {
    /// The settings with those that come from the issuer's metadata, in place of all that came from there before.
    ///
    /// # Errors
    /// The metadata is another issuer's, offers no PKCE with S256, or names endpoints that cannot be settings.
    pub fn discovered(&self, config: &Config, metadata: &Value) -> Result<Config, Violations> {
        let Some(discovery) = &self.discovery else { return Ok(config.clone()) };
        let issuer = config.get(discovery.issuer.as_str()).and_then(Value::as_str);
        let wrong = |rule: &str| Err(Violations::of(format!("config.{}", discovery.issuer), rule));
        if issuer.is_none() || metadata.get("issuer").and_then(Value::as_str) != issuer {
            return wrong("must be, character by character, the issuer that its own metadata names");
        }
        let methods = metadata.get("code_challenge_methods_supported").and_then(Value::as_array);
        let pkce = self.code_grant().is_some_and(|grant| grant.authorize.pkce);
        // RFC 9700, section 2.1.1: `plain` shows the verifier to everyone who sees the first request.
        if pkce && methods.is_some_and(|methods| !methods.iter().any(|method| method == "S256")) {
            return wrong("must offer PKCE with S256: its metadata names other methods only");
        }
        let mut settings = config.clone().into_object();
        for (name, member) in &discovery.settings {
            settings.remove(name.as_str());
            let given = metadata.get(member).filter(|value| !value.is_null());
            if let Some(value) = given.and_then(|value| self.setting_of(name, value)) {
                settings.insert(name.as_str().to_owned(), value);
            }
        }
        let config = Config::new(settings).map_err(|rule| Violations::of("config", rule.to_string()))?;
        self.accepted_config("config", config)
    }

    /// What a value of the metadata becomes: of a list, the first of the setting's own values that the list has.
    fn setting_of(&self, name: &FieldName, value: &Value) -> Option<Value> {
        let field = self.config.get(name)?;
        match value {
            Value::Array(items) => {
                let listed =
                    field.values.iter().find(|known| items.iter().any(|item| item == known.as_str()));
                listed.map(|known| Value::String(known.clone()))
            }
            Value::Bool(_) if field.kind != FieldKind::Boolean => None,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                Some(value.clone())
            }
        }
    }

    /// Whether the settings have been found in metadata.
    pub fn is_discovered(&self, config: &Config) -> bool {
        self.discovery
            .as_ref()
            .is_none_or(|discovery| discovery.settings.keys().any(|name| config.get(name.as_str()).is_some()))
    }

    /// The settings that a caller gives, with those that come from the metadata of the same issuer and are stored.
    /// `path` is the settings' name in the request.
    ///
    /// # Errors
    /// The caller gives one that only the metadata may give: it decides where secrets are sent.
    pub fn with_discovered(
        &self,
        path: &str,
        mut given: Map<String, Value>,
        stored: &Config,
    ) -> Result<Map<String, Value>, Violations> {
        let Some(discovery) = &self.discovery else { return Ok(given) };
        let issuer = discovery.issuer.as_str();
        let same = given.get(issuer) == stored.get(issuer);
        for name in discovery.settings.keys().map(FieldName::as_str) {
            let known = stored.get(name);
            match given.remove(name) {
                Some(value) if known != Some(&value) => {
                    let rule = "must be left out: it comes from the issuer's metadata";
                    return Err(Violations::of(format!("{path}.{name}"), rule));
                }
                _ => {}
            }
            if let Some(known) = known.filter(|_| same) {
                given.insert(name.to_owned(), known.clone());
            }
        }
        Ok(given)
    }
}
