//! `UpdateConnection`: the fields that a request names, and no others.

use std::time::Duration;

use credvault_catalog::Mode;
use credvault_domain::{AccountName, Config, ConnectionId, Etag, Labels, Violations};
use credvault_store::{ConnectionPatch, Recorded};
use serde_json::{Map, Value};

use super::Stopped;
use super::create::rotation_plan;
use crate::credentials::accepted_config;
use crate::services::{Affected, affected};
use crate::{Call, Context, Parsed, Refusal, Repeat};

/// A change of a connection. `None` leaves a field as it is.
#[derive(Debug)]
pub struct Update {
    /// The connection that changes.
    pub connection: ConnectionId,
    /// The etag that it must have, if the caller names one.
    pub etag: Option<Etag>,
    /// How a repetition is recognised.
    pub repeat: Parsed<Option<Repeat>>,
    /// A new name, if it changes.
    pub account_name: Option<Parsed<AccountName>>,
    /// Whether fetches are served.
    pub enabled: Option<bool>,
    /// New settings, all of them.
    pub config: Option<Map<String, Value>>,
    /// New labels, all of them.
    pub labels: Option<Parsed<Labels>>,
    /// A new account id; `Ok(None)` clears it.
    pub external_account_id: Option<Parsed<Option<String>>>,
    /// How often its credential is to be replaced, in whole days; `Ok(None)`: never.
    pub rotation_period: Option<Parsed<Option<Duration>>>,
    /// Whether a key that was left at the provider is not shown any more: a person has looked for it.
    pub forgets_left_key: bool,
}

impl Update {
    /// A change of whether fetches are served, and of nothing else.
    pub(crate) fn enabling(connection: ConnectionId, enabled: bool) -> Self {
        Self { enabled: Some(enabled), ..Self::nothing(connection) }
    }

    /// A change of the name, and of nothing else.
    pub(crate) fn renaming(connection: ConnectionId, name: Parsed<AccountName>) -> Self {
        Self { account_name: Some(name), ..Self::nothing(connection) }
    }

    fn nothing(connection: ConnectionId) -> Self {
        Self {
            connection,
            etag: None,
            repeat: Ok(None),
            account_name: None,
            enabled: None,
            config: None,
            labels: None,
            external_account_id: None,
            rotation_period: None,
            forgets_left_key: false,
        }
    }

    /// The names of the fields that change, as the audit record has them.
    fn changed(&self) -> Vec<String> {
        let fields = [
            ("account_name", self.account_name.is_some()),
            ("enabled", self.enabled.is_some()),
            ("config", self.config.is_some()),
            ("labels", self.labels.is_some()),
            ("external_account_id", self.external_account_id.is_some()),
            ("rotation_period", self.rotation_period.is_some()),
            ("rotation.key_left", self.forgets_left_key),
        ];
        fields.into_iter().filter(|(_, changes)| *changes).map(|(name, _)| name.to_owned()).collect()
    }
}

/// `UpdateConnection`.
///
/// # Errors
/// Policy does not permit it, a field breaks a rule, or the etag is another.
pub async fn update(call: &mut Call, mut update: Update) -> Result<Recorded<Stopped>, Refusal> {
    let scope = call.scope()?;
    let (id, etag) = (update.connection, update.etag);
    let (permit, stored) = call.connection(id).await?;
    call.subject.changed = update.changed();
    let repeat = std::mem::replace(&mut update.repeat, Ok(None))?;
    let context = call.context.clone();
    let mode = context.mode(&stored.provider, &stored.auth_mode)?;
    let patch = patch(&context, update, mode, &stored.config)?;
    let hosts = patch.config.as_ref().and_then(|config| mode.moved(&stored.config, config));
    call.subject.changed.extend(hosts);
    let write = call.write(&permit, Ok(repeat))?;
    let affected = match patch.enabled {
        Some(false) => affected(call, &scope, id).await?,
        Some(true) | None => Affected::default(),
    };
    let updated = context.store.connections().update(&scope, id, etag, &patch, &write).await?;
    Ok(updated.map(|connection| Stopped { connection, affected }))
}

/// Holds the new values against the auth mode, and names all that is wrong at once.
fn patch(context: &Context, update: Update, mode: &Mode, stored: &Config) -> Parsed<ConnectionPatch> {
    let mut violations = Violations::default();
    let mut patch = ConnectionPatch { enabled: update.enabled, ..ConnectionPatch::default() };
    patch.account_name = update.account_name.and_then(|name| violations.collect(name));
    if let Some(config) = update.config {
        let config = accepted_config(context, "connection.config", config, mode, stored);
        patch.config = violations.collect(config);
        patch.destinations = mode.destinations().clone();
    }
    patch.labels = update.labels.and_then(|labels| violations.collect(labels));
    patch.external_account_id = update.external_account_id.and_then(|id| violations.collect(id));
    let period = update.rotation_period.and_then(|period| violations.collect(period));
    let config = patch.config.as_ref().unwrap_or(stored);
    patch.rotation = period.map(|period| period.map(|period| rotation_plan(period, mode, config)));
    patch.mints = patch.config.as_ref().map(|config| mode.mints_with(config));
    patch.forget_left_key = update.forgets_left_key;
    violations.into_result().map(|()| patch)
}
