//! A provider with its modes and webhooks, checked and ready for use.

use std::collections::BTreeMap;

use credvault_crypto::{KeyError, SigningKey};
use credvault_domain::{AppPlace, AuthMode, Config, FieldName, ProviderId, SecretFields, Violations};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::field::{Field, listed};
use crate::mode::Mode;
use crate::webhook::Webhook;

/// A third party at which customers have accounts.
#[derive(Debug)]
pub struct Provider {
    /// The provider's id in the catalog.
    pub id: ProviderId,
    /// The provider's own name.
    pub display_name: String,
    /// The URL of the provider's API documentation.
    pub documentation_url: Option<String>,
    /// Facts that the file assumes and that are not confirmed, in sentences. Empty if the file says that there is none,
    /// `None` if it says nothing. What is about the life of a credential is at its mode.
    pub unconfirmed: Option<Vec<String>>,
    /// How many calls the provider accepts, if that is known.
    pub rate_limit: Option<RateLimit>,
    /// The values of the platform's app except `client_id` and `client_secret`.
    pub app: BTreeMap<FieldName, AppField>,
    /// How the provider signs webhooks, by the name of the way.
    pub webhooks: BTreeMap<String, Webhook>,
    pub(crate) modes: BTreeMap<AuthMode, Mode>,
    /// The setting, of connections and of apps, that tells the provider's servers apart, with its rules. `None` if all
    /// accounts are at one.
    pub(crate) servers: Option<(FieldName, Field)>,
}

impl Provider {
    /// All modes, ordered by name.
    pub fn modes(&self) -> impl Iterator<Item = (&AuthMode, &Mode)> {
        self.modes.iter()
    }

    /// The mode with this name.
    pub fn mode(&self, name: &AuthMode) -> Option<&Mode> {
        self.modes.get(name)
    }

    /// The name of the only mode. `None` if there are several.
    pub fn only_mode(&self) -> Option<&AuthMode> {
        self.modes.keys().next().filter(|_| self.modes.len() == 1)
    }

    /// The name of the setting that tells the provider's servers apart; empty if there is none.
    pub fn server_setting(&self) -> &str {
        self.servers.as_ref().map_or("", |(name, _)| name.as_str())
    }

    /// Where the app of a connection with these settings is registered.
    pub fn app_place(&self, config: &Config) -> AppPlace {
        let server = config.get(self.server_setting()).and_then(Value::as_str);
        AppPlace::new(self.id.clone(), server.map(str::to_owned))
    }

    /// Where an app is registered that a caller names. `path` is the place of `server` in the request.
    ///
    /// # Errors
    /// The provider stands for many servers, and none that can be one is given; or it does not, and one is given.
    pub fn place_of_app(&self, path: &str, server: Option<&str>) -> Result<AppPlace, Violations> {
        let rule = match (&self.servers, server) {
            (Some((_, field)), Some(server)) => field.check_text(server).err(),
            (Some((_, field)), None) => Some(format!("must be given: {}", field.title)),
            (None, Some(_)) => Some("must be empty: the provider is one server".to_owned()),
            (None, None) => None,
        };
        match rule {
            Some(rule) => Err(Violations::of(path, rule)),
            None => Ok(AppPlace::new(self.id.clone(), server.map(str::to_owned))),
        }
    }

    /// Splits the settings of an app into plain and secret ones. An empty secret counts as absent. `path` is the
    /// settings' name in the request.
    ///
    /// # Errors
    /// A violation, if the provider's file does not have one of the settings, or a key cannot sign.
    pub fn app_settings(
        &self,
        path: &str,
        settings: BTreeMap<String, String>,
    ) -> Result<(BTreeMap<String, String>, SecretFields), Violations> {
        let (mut plain, mut secret) = (BTreeMap::new(), SecretFields::default());
        for (name, value) in settings {
            match self.app.get_key_value(name.as_str()) {
                Some((name, field)) if field.is_secret() => {
                    let value = SecretString::from(value);
                    if value.expose_secret().is_empty() {
                        continue;
                    }
                    if field.kind == AppFieldKind::SigningKey {
                        let rule =
                            |error: KeyError| Violations::of(format!("{path}[{name}]"), error.to_string());
                        SigningKey::parse(value.expose_secret()).map_err(rule)?;
                    }
                    secret.set(name.clone(), value);
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

/// A value of the platform's app at a provider.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct AppField {
    /// The value's name for people.
    pub title: String,
    /// What the value is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether the value must be kept secret.
    #[serde(default)]
    pub secret: bool,
    /// The type of the value.
    #[serde(default, rename = "type")]
    pub kind: AppFieldKind,
}

/// What type of value of an app a field holds.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum AppFieldKind {
    /// One line of printable characters.
    #[default]
    String,
    /// A private key that signs assertions, PEM or JWK. It is always secret.
    SigningKey,
}

impl AppField {
    /// Whether the vault seals the value, and shows no more than a hint of it.
    pub fn is_secret(&self) -> bool {
        self.secret || self.kind == AppFieldKind::SigningKey
    }
}

/// How many calls a provider accepts, for the reader of the catalog. The vault does not enforce it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// The rule, in words.
    pub description: String,
    /// The meaning of each header of an answer, by the header's name as the provider writes it.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}
