//! Reading secrets where they are kept, and remembering the sealed bytes for a while. What is remembered serves also while
//! its store is away; an opened secret is never remembered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use credvault_crypto::{SecretStoreError, decode_fields, encode_fields};
use credvault_domain::{ConnectionId, FieldName, SecretFields, TenantId};
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use super::content::{Adoption, Placement, SecretContent};
use super::failed;
use super::joined::Wish;
use super::known::AdoptedKey;
use crate::integrity::alarm;
use crate::{Error, Store};

/// How long an adopted secret is not read anew for a rejection after another one.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);

impl Store {
    /// The fields of a connection's record, wherever they are kept. No transaction may be open.
    ///
    /// # Errors
    /// [`Error::SecretStore`] if the store does not give them; [`Error::Integrity`] if they do not open.
    pub(crate) async fn fields_of(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        content: SecretContent,
    ) -> Result<SecretFields, Error> {
        match content {
            SecretContent::Fields(fields) => Ok(fields),
            SecretContent::Placed(placement) => self.placed_fields(tenant, connection, &placement).await,
            SecretContent::Adopted(adoption) => self.adopted_fields(tenant, connection, &adoption).await,
        }
    }

    /// Remembers a payload that was put just now.
    pub(crate) fn remember_payload(&self, tenant: &TenantId, payload: Uuid, sealed: Vec<u8>) {
        self.known_payloads().placed.insert((tenant.clone(), payload), sealed.into());
    }

    async fn placed_fields(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        placement: &Placement,
    ) -> Result<SecretFields, Error> {
        let known = self.known_payloads();
        let key = (tenant.clone(), placement.payload);
        if let Some(sealed) = known.placed.get(&key) {
            return open_placed(tenant, connection, placement, &sealed);
        }
        let store = Arc::clone(self.secret_store(&placement.store)?);
        let reference = placement.reference.clone();
        let wish = wish(tenant, &placement.store, &reference, None);
        let call = async move { store.get(&reference).await.map(Arc::<[u8]>::from) };
        let read = known.payload_reads.read(wish, known.turns(&placement.store), call).await;
        let (sealed, _) = read.map_err(failed(&placement.store)).inspect_err(|error| {
            if error.is_damage() {
                alarm(tenant, "payload", placement.payload.into_bytes());
            }
        })?;
        let fields = open_placed(tenant, connection, placement, &sealed)?;
        // Not before it has opened: when a fault of the store is mended, the next call finds that.
        known.placed.insert(key, sealed);
        Ok(fields)
    }

    async fn adopted_fields(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        adoption: &Adoption,
    ) -> Result<SecretFields, Error> {
        let key = adopted_key(tenant, connection, adoption);
        // What another version of the connection has read of the same secret is sealed under that one's key.
        let known = self.known_payloads().adopted.get(&key).and_then(|(sealed, time)| {
            Some((open_adopted(tenant, connection, adoption, &sealed).ok()?, time))
        });
        let mut earlier = match known {
            Some((fields, time)) if self.is_fresh(&key, time) => return Ok(fields),
            known => known.map(|(fields, _)| fields),
        };
        let mut read = self.read_adopted(tenant, adoption).await;
        if let Ok((fields, begun)) = &read
            && self.is_doubted(&key, *begun)
        {
            // Another call had begun it before the doubt. What begins now has begun after it.
            earlier = Some(fields.clone());
            read = self.read_adopted(tenant, adoption).await;
        }
        match (read, earlier) {
            (Ok((fields, begun)), _) => {
                let (random, place) = (self.keyring().random(), place_of(tenant, connection));
                let sealed = adoption.key.seal(place, &encode_fields(&fields)?, random)?;
                self.known_payloads().adopted.insert(key, (sealed.into(), begun));
                Ok(fields)
            }
            // While the store is away, what is remembered serves on until its time is over.
            (Err(Error::SecretStore { problem: SecretStoreError::Unavailable(_), .. }), Some(fields)) => {
                Ok(fields)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Reads an adopted secret, if the settings still let the tenant refer to it, and tells when the store was asked.
    pub(crate) async fn read_adopted(
        &self,
        tenant: &TenantId,
        adoption: &Adoption,
    ) -> Result<(SecretFields, Instant), Error> {
        let Adoption { store: of, name, version, field, .. } = adoption;
        let store = Arc::clone(self.secret_store(of)?);
        let entry = self.settings().secrets.by_name.get(of);
        if !entry.is_some_and(|entry| entry.adopt.allows(tenant, name)) {
            return Err(Error::ReferenceDenied { store: of.clone() });
        }
        let known = self.known_payloads();
        let wish = wish(tenant, of, name, version.clone());
        let (name, version) = (name.clone(), version.clone());
        let call = async move { store.adopted(&name, version.as_deref()).await.map(Arc::new) };
        let secret = known.adopted_reads.read(wish, known.turns(of), call).await;
        let broken = |problem| Error::ReferenceBroken { store: of.clone(), problem };
        let (secret, begun) = secret.map_err(|problem| match unusable(&problem) {
            Some(rule) => broken(rule),
            None => failed(of)(problem),
        })?;
        let fields = parse_adopted(field.as_ref(), &secret.value).map_err(broken)?;
        Ok((fields, begun))
    }

    /// Whether what was read of an adopted secret at `time` still counts.
    fn is_fresh(&self, key: &AdoptedKey, time: Instant) -> bool {
        time.elapsed() < self.settings().secrets.adopted_cache && !self.is_doubted(key, time)
    }

    /// Whether a provider has rejected the secret since `time`.
    fn is_doubted(&self, (tenant, connection, ..): &AdoptedKey, time: Instant) -> bool {
        let doubt = self.known_payloads().doubted.get(&(tenant.clone(), *connection));
        doubt.is_some_and(|doubt| time <= doubt)
    }

    /// Has the adopted secret of a connection read anew, for its provider has rejected it: once a second at most.
    pub(crate) fn doubt_adopted(&self, tenant: &TenantId, connection: ConnectionId) {
        let (known, key) = (self.known_payloads(), (tenant.clone(), connection.as_uuid()));
        let lately = known.doubted.get(&key).is_some_and(|doubt| doubt.elapsed() < DOUBT_PAUSE);
        if !lately {
            known.doubted.insert(key, Instant::now());
        }
    }
}

fn adopted_key(tenant: &TenantId, connection: ConnectionId, adoption: &Adoption) -> AdoptedKey {
    let Adoption { store, name, version, .. } = adoption;
    (tenant.clone(), connection.as_uuid(), store.clone(), name.clone(), version.clone())
}

fn place_of(tenant: &TenantId, connection: ConnectionId) -> (&TenantId, ConnectionId, [u8; 16]) {
    (tenant, connection, [0; 16])
}

fn open_placed(
    tenant: &TenantId,
    connection: ConnectionId,
    placement: &Placement,
    sealed: &[u8],
) -> Result<SecretFields, Error> {
    let place = (tenant, connection, placement.payload.into_bytes());
    let opened = placement.key.open(place, sealed).and_then(|fields| decode_fields(&fields));
    if opened.is_err() {
        alarm(tenant, "payload", placement.payload.into_bytes());
    }
    Ok(opened?)
}

fn open_adopted(
    tenant: &TenantId,
    connection: ConnectionId,
    adoption: &Adoption,
    sealed: &[u8],
) -> Result<SecretFields, Error> {
    // It was sealed by this very process, for this version or another one.
    Ok(decode_fields(&adoption.key.open(place_of(tenant, connection), sealed)?)?)
}

fn wish(tenant: &TenantId, store: &str, name: &str, version: Option<String>) -> Wish {
    Wish { tenant: tenant.clone(), store: store.to_owned(), name: name.to_owned(), version }
}

/// What is wrong with a secret of others, if it is the secret and not the store.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow: others concern the store"
)]
fn unusable(problem: &SecretStoreError) -> Option<&'static str> {
    match problem {
        SecretStoreError::NotFound => Some("the store has no such secret, or no such version of it"),
        SecretStoreError::Unusable(_) => {
            Some("the store does not give it: it is disabled, too large, or the store takes no such name")
        }
        SecretStoreError::Denied(_) => Some("the store does not permit the vault to read it"),
        _ => None,
    }
}

/// The fields of a secret that others have written, or what is wrong with it.
fn parse_adopted(field: Option<&FieldName>, value: &[u8]) -> Result<SecretFields, &'static str> {
    let text = std::str::from_utf8(value).map_err(|_| "it is no text in UTF-8")?;
    let pairs: Vec<(String, SecretString)> = match field {
        Some(field) => vec![(field.as_str().to_owned(), SecretString::from(text))],
        None => {
            let object: serde_json::Map<String, Value> =
                serde_json::from_str(text).map_err(|_| "it is no JSON object with a text for each field")?;
            let member = |(name, value): (String, Value)| match value {
                Value::String(text) => Ok((name, SecretString::from(text))),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    Err("a member of its JSON object is no text")
                }
            };
            object.into_iter().map(member).collect::<Result<_, _>>()?
        }
    };
    SecretFields::parse("secret", pairs)
        .map_err(|_| "its names of fields or its size break the rules of PutCredential")
}
