//! A provider with its modes, checked and ready for use.

use std::collections::BTreeMap;

use credvault_domain::{AuthMode, FieldName, ProviderId, SecretFields, Violations};
use serde::Deserialize;

use crate::mode::Mode;
use crate::webhook::Webhook;

/// A third party that customers have accounts at.
#[derive(Debug)]
pub struct Provider {
    /// Its id.
    pub id: ProviderId,
    /// Its own name.
    pub name: String,
    /// Where it documents its API.
    pub documentation: Option<String>,
    /// What nobody has confirmed, in sentences.
    pub uncertain: Vec<String>,
    /// How many calls it takes, if that is known.
    pub rate_limit: Option<RateLimit>,
    /// What the platform's app has there beside `client_id` and `client_secret`.
    pub app: BTreeMap<FieldName, AppField>,
    pub(crate) modes: BTreeMap<AuthMode, Mode>,
    /// How it signs webhooks, by name.
    pub webhooks: BTreeMap<String, Webhook>,
}

impl Provider {
    /// The ways to authenticate, ordered by name.
    pub fn modes(&self) -> impl Iterator<Item = (&AuthMode, &Mode)> {
        self.modes.iter()
    }

    /// One way to authenticate.
    pub fn mode(&self, name: &AuthMode) -> Option<&Mode> {
        self.modes.get(name)
    }

    /// The only mode, if there is only one.
    pub fn only_mode(&self) -> Option<&AuthMode> {
        self.modes.keys().next().filter(|_| self.modes.len() == 1)
    }

    /// Parts the settings of an app, which a request calls `path`, into plain ones and secret ones. An empty secret is
    /// none.
    ///
    /// # Errors
    /// The provider has no such setting.
    pub fn app_settings(
        &self,
        path: &str,
        settings: BTreeMap<String, String>,
    ) -> Result<(BTreeMap<String, String>, SecretFields), Violations> {
        let (mut plain, mut secret) = (BTreeMap::new(), SecretFields::default());
        for (name, value) in settings {
            match self.app.get_key_value(name.as_str()) {
                Some((name, field)) if field.secret => {
                    if !value.is_empty() {
                        secret.set(name.clone(), value.into());
                    }
                }
                Some(_) => {
                    plain.insert(name, value);
                }
                // The name is not repeated: it may be a secret that was pasted into the wrong place.
                None => {
                    let rule = format!("has an unknown setting; it takes {}", listed(&self.app));
                    return Err(Violations::of(path, rule));
                }
            }
        }
        Ok((plain, secret))
    }
}

/// The names of fields, as a sentence has them.
pub(crate) fn listed<T>(fields: &BTreeMap<FieldName, T>) -> String {
    if fields.is_empty() {
        return "none".to_owned();
    }
    fields.keys().map(FieldName::as_str).collect::<Vec<_>>().join(", ")
}

/// A value of the platform's app at a provider.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct AppField {
    /// What people call it.
    pub title: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether it must be kept secret.
    #[serde(default)]
    pub secret: bool,
}

/// How many calls a provider takes, for whoever calls it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// The rule, in words.
    pub rule: String,
    /// What each header of an answer says, by the header's name as the provider writes it.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}
