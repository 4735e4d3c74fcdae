//! Where a provider publishes the keys that it signs webhooks with.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_domain::{Config, FieldName, SecretFields};
use secrecy::SecretString;
use serde_json::Value;

use crate::answer::token;
use crate::call::{App, CallTemplates, Flow, ProviderRequest};
use crate::derived::Derived;
use crate::field::Field;
use crate::life::Life;
use crate::mode::Missing;
use crate::request_auth::Values;

/// The calls that give a public key: one for a token of the app's own, and one for the key.
#[derive(Debug)]
pub struct PublicKeys {
    pub(crate) token: CallTemplates,
    pub(crate) key: CallTemplates,
    pub(crate) config: BTreeMap<FieldName, Field>,
    pub(crate) derived: BTreeMap<String, Derived>,
}

impl PublicKeys {
    /// The request for a token of the app's own.
    ///
    /// # Errors
    /// A value that it needs is missing.
    pub fn token_request(&self, config: &Config, app: &App, flow: &Flow) -> Result<ProviderRequest, Missing> {
        self.fill(&self.token, config, app, flow)
    }

    /// Where the key that `{flow.key_id}` names is published.
    ///
    /// # Errors
    /// A value that the URL needs is missing.
    pub fn key_url(&self, config: &Config, app: &App, flow: &Flow) -> Result<String, Missing> {
        let secrets = &SecretFields::default();
        self.key.url(&self.values(config, secrets, app, flow)).map_err(Missing::from)
    }

    /// The request for the key that `{flow.key_id}` names, with the token as `{flow.token}`.
    ///
    /// # Errors
    /// A value that it needs is missing.
    pub fn key_request(&self, config: &Config, app: &App, flow: &Flow) -> Result<ProviderRequest, Missing> {
        self.fill(&self.key, config, app, flow)
    }

    fn fill(
        &self,
        call: &CallTemplates,
        config: &Config,
        app: &App,
        flow: &Flow,
    ) -> Result<ProviderRequest, Missing> {
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
        let (fields, derived) = (&self.config, &self.derived);
        Values { config, secrets, app: Some(app), flow: Some(flow), fields, derived }
    }

    /// The token in an answer of 2xx (RFC 6749, section 5.1), and how long it lives.
    pub fn read_token(&self, body: &Value) -> Option<(SecretString, Duration)> {
        let token = token(body.get("access_token")?)?;
        let life = Life::of_seconds(body.get("expires_in")).or_default(None);
        Some((token.into(), life.unwrap_or_default()))
    }

    /// The key in an answer of 2xx, PEM: its member `key`.
    pub fn read_key<'v>(&self, body: &'v Value) -> Option<&'v str> {
        body.get("key")?.as_str()
    }
}
