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

    /// The same without waiting; `None` if the store has to be asked.
    pub(crate) fn known_fields_of(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        content: &SecretContent,
    ) -> Option<Result<SecretFields, Error>> {
        match content {
            SecretContent::Fields(fields) => Some(Ok(fields.clone())),
            SecretContent::Placed(placement) => {
                let sealed = self.known_payloads().placed.get(&(tenant.clone(), placement.payload))?;
                Some(open_placed(tenant, connection, placement, &sealed))
            }
            SecretContent::Adopted(adoption) => {
                let key = adopted_key(tenant, connection, adoption);
                let known = self.known_payloads().adopted.get(&key);
                let (sealed, _) = known.filter(|(_, time)| self.is_fresh(&key, *time))?;
                Some(open_adopted(tenant, connection, adoption, &sealed))
            }
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
        let sealed = self.placed_payload(tenant, placement).await?;
        open_placed(tenant, connection, placement, &sealed)
    }

    /// The sealed bytes of a payload.
    async fn placed_payload(&self, tenant: &TenantId, placement: &Placement) -> Result<Arc<[u8]>, Error> {
        let key = (tenant.clone(), placement.payload);
        if let Some(sealed) = self.known_payloads().placed.get(&key) {
            return Ok(sealed);
        }
        let store = self.secret_store(&placement.store)?;
        let sealed = store.get(&placement.reference).await.map_err(failed(&placement.store))?;
        let sealed: Arc<[u8]> = sealed.into();
        self.known_payloads().placed.insert(key, Arc::clone(&sealed));
        Ok(sealed)
    }

    async fn adopted_fields(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
        adoption: &Adoption,
    ) -> Result<SecretFields, Error> {
        let key = adopted_key(tenant, connection, adoption);
        let known = self.known_payloads().adopted.get(&key);
        if let Some((sealed, time)) = &known
            && self.is_fresh(&key, *time)
        {
            return open_adopted(tenant, connection, adoption, sealed);
        }
        match (self.read_adopted(tenant, adoption).await, known) {
            (Ok(fields), _) => {
                let (random, place) = (self.keyring().random(), place_of(tenant, connection));
                let sealed = adoption.key.seal(place, &encode_fields(&fields)?, random)?;
                self.known_payloads().adopted.insert(key, (sealed.into(), Instant::now()));
                Ok(fields)
            }
            // While the store is away, what is remembered serves on until its time is over.
            (
                Err(Error::SecretStore { problem: SecretStoreError::Unavailable(_), .. }),
                Some((sealed, _)),
            ) => open_adopted(tenant, connection, adoption, &sealed),
            (Err(error), _) => Err(error),
        }
    }

    /// Reads an adopted secret, if the settings still let the tenant refer to it.
    pub(crate) async fn read_adopted(
        &self,
        tenant: &TenantId,
        adoption: &Adoption,
    ) -> Result<SecretFields, Error> {
        let store = self.secret_store(&adoption.store)?;
        let entry = self.settings().secrets.by_name.get(&adoption.store);
        if !entry.is_some_and(|entry| entry.adopt.allows(tenant, &adoption.name)) {
            return Err(Error::ReferenceDenied);
        }
        let secret = store.adopted(&adoption.name, adoption.version.as_deref()).await;
        let secret = secret.map_err(|problem| {
            if problem == SecretStoreError::NotFound {
                Error::ReferenceBroken("the store has no such secret, or no such version of it")
            } else {
                failed(&adoption.store)(problem)
            }
        })?;
        parse_adopted(adoption.field.as_ref(), &secret.value)
    }

    /// Whether what was read of an adopted secret at `time` still counts.
    fn is_fresh(&self, (tenant, connection, ..): &AdoptedKey, time: Instant) -> bool {
        let doubt = self.known_payloads().doubted.get(&(tenant.clone(), *connection));
        time.elapsed() < self.settings().secrets.adopted_cache && doubt.is_none_or(|doubt| time > doubt)
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
    // It was sealed by this very process.
    Ok(decode_fields(&adoption.key.open(place_of(tenant, connection), sealed)?)?)
}

/// The fields of a secret that others have written.
fn parse_adopted(field: Option<&FieldName>, value: &[u8]) -> Result<SecretFields, Error> {
    let text =
        std::str::from_utf8(value).map_err(|_| Error::ReferenceBroken("the secret is no text in UTF-8"))?;
    let pairs: Vec<(String, SecretString)> = match field {
        Some(field) => vec![(field.as_str().to_owned(), SecretString::from(text))],
        None => {
            let object: serde_json::Map<String, Value> = serde_json::from_str(text).map_err(|_| {
                Error::ReferenceBroken("the secret is no JSON object with a text for each field")
            })?;
            let member = |(name, value): (String, Value)| match value {
                Value::String(text) => Ok((name, SecretString::from(text))),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    Err(Error::ReferenceBroken("a member of the secret's JSON object is no text"))
                }
            };
            object.into_iter().map(member).collect::<Result<_, _>>()?
        }
    };
    SecretFields::parse("secret", pairs).map_err(|_| {
        Error::ReferenceBroken("the secret's names of fields or its size break the rules of PutCredential")
    })
}
