//! What a consent is for, and what is known about it before the provider is asked.

use credvault_catalog::{CodeGrant, Mode};
use credvault_domain::{AppPlace, Config, Connection, SecretFields, TenantScope, Violations};
use credvault_store::{Error, Selector, UsableApp};
use serde_json::{Map, Value};

use super::error::ConsentError;
use crate::broker::Broker;
use crate::flow::app_values;

/// The connection that a consent is for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The tenant and user whose connection it is.
    pub scope: &'a TenantScope,
    /// The connection that gets the credential.
    pub connection: &'a Connection,
    /// How it authenticates, from the catalog.
    pub mode: &'a Mode,
}

impl<'a> Target<'a> {
    /// The mode's description of a consent that brings a code.
    pub(super) fn code_grant(self) -> Result<&'a CodeGrant, ConsentError> {
        self.mode.code_grant().ok_or(ConsentError::ModeWithoutConsent)
    }

    /// The URL where the code will be exchanged, or where keys are delivered, as far as it is known. It must not change
    /// while the consent is in progress (RFC 9700, section 4.4.2).
    pub(super) fn exchange_url(self, usable: Option<&UsableApp>) -> Option<String> {
        self.mode.exchange_url(&self.connection.config, usable.map(app_values).as_ref())
    }

    /// Settings that came from the provider. They decide where secrets are sent, so the catalog must accept them as if a
    /// caller had given them.
    pub(super) fn accepted_config(self, settings: Map<String, Value>) -> Result<Config, ConsentError> {
        let config = Config::new(settings).map_err(|rule| Violations::of("config", rule.to_string()))?;
        Ok(self.mode.accepted_config("config", config)?)
    }
}

impl Broker {
    /// The app that the consent is given to.
    pub(super) async fn app(&self, target: Target<'_>) -> Result<UsableApp, ConsentError> {
        let usable = self.store().apps().usable_in(target.scope, &self.place_of(target)).await?;
        usable.ok_or(ConsentError::AppMissing)
    }

    /// Where the app of the connection is registered.
    pub(super) fn place_of(&self, target: Target<'_>) -> AppPlace {
        self.app_place(&target.connection.provider, &target.connection.config)
    }

    /// The app, if the mode needs one: a delivery of keys needs none.
    pub(super) async fn app_if_needed(&self, target: Target<'_>) -> Result<Option<UsableApp>, ConsentError> {
        if target.mode.delivery().is_some() { Ok(None) } else { self.app(target).await.map(Some) }
    }

    /// The secret fields that the connection has so far; none if it has no credential.
    pub(super) async fn stored_fields(&self, target: Target<'_>) -> Result<SecretFields, ConsentError> {
        let credentials = self.store().credentials();
        let selector = Selector::Connection { id: target.connection.id, version: None };
        let fetched = credentials.fetch(target.scope, &selector).await?;
        match credentials.open_stored(&fetched, self.clock().now(), true).await {
            Ok(opened) => Ok(opened.fields),
            Err(Error::NoCredential) => Ok(SecretFields::default()),
            Err(error) => Err(error.into()),
        }
    }
}
