//! What is sealed of an endpoint: its URL and the secrets that sign.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_crypto::Context;
use credvault_domain::{EventEndpointId, EventType, FieldName, Random, SecretFields, TenantId, Timestamp};
use sea_orm::ActiveValue::Set;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::Error;
use crate::change::Change;
use crate::database::tenant_keys::TenantKeys;
use crate::entity::event_endpoint::{ActiveModel, Model};
use crate::sealed::{Sealed, SealedRecord};

/// How long the secret before signs beside the new one.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// What every secret begins with (Standard Webhooks).
const PREFIX: &str = "whsec_";

/// The field of the secret.
pub(super) const SECRET: &str = "secret";
/// The field of the secret before.
const PREVIOUS: &str = "previous_secret";
/// The field of the URL.
pub(super) const URL: &str = "url";

/// An endpoint to be stored.
#[derive(Clone, Debug)]
pub struct NewEventEndpoint {
    /// Which one is changed; `None` makes a new one.
    pub id: Option<EventEndpointId>,
    /// Where events are to be sent to.
    pub url: String,
    /// Which events; none means all.
    pub types: Vec<EventType>,
    /// What it is, for people.
    pub description: String,
    /// Whether it gets a new secret.
    pub rotate_secret: bool,
}

impl NewEventEndpoint {
    /// Whether the request makes a secret.
    pub(super) fn makes_secret(&self) -> bool {
        self.id.is_none() || self.rotate_secret
    }
}

/// Where to send, and what to sign with.
#[derive(Clone, Debug)]
pub struct EventTarget {
    /// The URL that events are sent to.
    pub url: String,
    /// The live secrets, the newest first: each `whsec_` and base64.
    pub secrets: Vec<SecretString>,
}

/// Seals an endpoint's URL and secrets. Gives a new secret if one is to be made: the one before goes on signing for a
/// while, the one before that does not.
///
/// The URL is sealed, too: receivers have secrets in its path or query, and what is sealed together cannot be parted,
/// so that nothing signed goes to another URL.
pub(super) fn reseal(
    change: &Change<'_>,
    row: &mut ActiveModel,
    before: SecretFields,
    new: &NewEventEndpoint,
) -> Result<(SecretFields, Option<SecretString>), Error> {
    let random = change.store.keyring().random();
    let mut fields = before;
    if let Ok(name) = FieldName::parse(URL) {
        fields.set(name, new.url.clone().into());
    }
    let secret = if new.makes_secret() { Some(new_secret(random)?) } else { None };
    if let Some(secret) = &secret {
        let previous = fields.get(SECRET).cloned();
        let expire_time = previous.is_some().then(|| change.now.after(OVERLAP).micros());
        row.previous_expire_time = Set(expire_time);
        let pairs = [(PREVIOUS, previous), (SECRET, Some(secret.clone()))];
        for (name, value) in pairs {
            if let (Ok(name), Some(value)) = (FieldName::parse(name), value) {
                fields.set(name, value);
            }
        }
    }
    let generation = row.generation.as_ref() + 1;
    let id = row.id.as_ref().into_bytes();
    let sealed = Sealed::seal(&fields, change.key()?, random, |schema| {
        Context::event_endpoint(change.tenant(), id, generation, schema)
    })?;
    row.sealed = Set(sealed.bytes);
    row.generation = Set(generation);
    row.schema = Set(sealed.schema);
    row.key_version = Set(sealed.key_version);
    Ok((fields, secret))
}

/// Opens where a row's events are sent and what they are signed with.
///
/// # Errors
/// [`Error::Integrity`] if the row does not open.
pub(crate) fn opened(
    tenant: &TenantId,
    keys: &TenantKeys,
    model: &Model,
    now: Timestamp,
) -> Result<EventTarget, Error> {
    let fields = open(tenant, keys, model)?;
    let now = now.micros();
    let previous = fields.get(PREVIOUS).filter(|_| model.previous_expire_time > Some(now));
    let secrets = fields.get(SECRET).into_iter().chain(previous).cloned().collect();
    let url = fields.get(URL).ok_or(Error::Integrity)?.expose_secret().to_owned();
    Ok(EventTarget { url, secrets })
}

/// Opens the sealed fields of a row.
pub(super) fn open(tenant: &TenantId, keys: &TenantKeys, model: &Model) -> Result<SecretFields, Error> {
    let record = SealedRecord { schema: model.schema, key_version: model.key_version, bytes: &model.sealed };
    record.open(tenant, keys, |schema| {
        Context::event_endpoint(tenant, model.id.into_bytes(), model.generation, schema)
    })
}

fn new_secret(random: &dyn Random) -> Result<SecretString, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(bytes.as_mut_slice()).map_err(|error| Error::Key(error.into()))?;
    Ok(format!("{PREFIX}{}", STANDARD.encode(bytes.as_slice())).into())
}
