//! Where a provider publishes the keys that it signs webhooks with: the calls that fetch a key. The broker makes the
//! calls and keeps the keys.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_domain::{Config, FieldName, SecretFields};
use secrecy::SecretString;
use serde_json::Value;

use crate::call::{Call, ProviderRequest};
use crate::derived::Derived;
use crate::field::Field;
use crate::lifetime::Lifetime;
use crate::token_response::token;
use crate::values::{App, Flow, Given, Missing, Values};

/// The calls that fetch a public key: one for an access token of the app, and one for the key.
#[derive(Debug)]
pub struct PublicKeys {
    pub(crate) token: Call,
    pub(crate) key: Call,
    pub(crate) config: BTreeMap<FieldName, Field>,
    pub(crate) derived: BTreeMap<String, Derived>,
}

impl PublicKeys {
    /// The request for an access token of the app.
    ///
    /// # Errors
    /// The name of a value that the request needs and that is missing.
    pub fn token_request(&self, config: &Config, app: &App, flow: &Flow) -> Result<ProviderRequest, Missing> {
        self.fill(&self.token, config, app, flow)
    }

    /// The URL of the key that `{flow.key_id}` names.
    ///
    /// # Errors
    /// The name of a value that the URL needs and that is missing.
    pub fn key_url(&self, config: &Config, app: &App, flow: &Flow) -> Result<String, Missing> {
        let secrets = &SecretFields::default();
        self.key.url(&self.values(config, secrets, app, flow)).map_err(Missing::from)
    }

    /// The request for the key that `{flow.key_id}` names. The access token is `{flow.token}`.
    ///
    /// # Errors
    /// The name of a value that the request needs and that is missing.
    pub fn key_request(&self, config: &Config, app: &App, flow: &Flow) -> Result<ProviderRequest, Missing> {
        self.fill(&self.key, config, app, flow)
    }

    fn fill(&self, call: &Call, config: &Config, app: &App, flow: &Flow) -> Result<ProviderRequest, Missing> {
        let secrets = &SecretFields::default();
        call.fill(&self.values(config, secrets, app, flow)).map_err(Missing::from)
    }

    fn values<'a>(
        &'a self,
        config: &'a Config,
        secrets: &'a SecretFields,
        app: &'a App,
        flow: &'a Flow,
    ) -> Values<'a> {
        let given = Given { config, secrets, app: Some(app), flow };
        Values { given, fields: &self.config, derived: &self.derived }
    }

    /// The access token in an answer with status 2xx (RFC 6749, section 5.1), and its lifetime.
    pub fn read_token(&self, body: &Value) -> Option<(SecretString, Duration)> {
        let token = token(body.get("access_token")?)?;
        let lifetime = Lifetime::of_seconds(body.get("expires_in")).or_default(None);
        Some((token.into(), lifetime.unwrap_or_default()))
    }

    /// The key in an answer with status 2xx: its member `key`, PEM.
    pub fn read_key<'v>(&self, body: &'v Value) -> Option<&'v str> {
        body.get("key")?.as_str()
    }
}
