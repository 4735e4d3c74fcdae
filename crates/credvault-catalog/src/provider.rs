//! A provider with its modes, checked and ready for use.

use std::collections::BTreeMap;

use credvault_domain::{AuthMode, FieldName, ProviderId};
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
