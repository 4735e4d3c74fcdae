//! The memory of request ids: a repeated request finds what the first one did.

use std::sync::Arc;
use std::time::Duration;

use credvault_crypto::{Opened, sha256};
use credvault_domain::{Action, ConnectionId, RequestId, ServiceId, TenantId, Timestamp, UserId, Version};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, DatabaseTransaction, EntityTrait as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::Error;
use crate::database::tenant_keys::TenantKeys;
use crate::entity::request;
use crate::error::violates;

/// How long a request id is remembered.
pub(crate) const REQUEST_MEMORY: Duration = Duration::from_secs(24 * 3600);

/// How a repetition of a request is recognised.
#[derive(Clone, Debug)]
pub struct RepeatKey {
    /// The service that asks. Each service has ids of its own.
    pub service: ServiceId,
    /// The user that it asks for. Each user has ids of their own.
    pub user: Option<UserId>,
    /// The caller's id of the request.
    pub id: RequestId,
    /// What was asked, byte by byte. Only its fingerprint is stored, keyed unless the change seals nothing.
    pub payload: Arc<Opened>,
}

/// What a request did.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct PriorResult {
    /// The id of what it was about.
    pub(crate) subject: Option<Uuid>,
    /// The version or generation that it made.
    pub(crate) version: Option<Version>,
}

impl PriorResult {
    /// The connection that it was about.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        self.subject.map(ConnectionId::from_uuid)
    }
}

/// A request that may be a repetition, in its tenant.
pub(super) struct Memory<'a> {
    pub(super) tenant: &'a TenantId,
    /// The tenant's keys: a request may have been remembered before the newest of them was made. None for a change that seals
    /// nothing, whose request has no secret.
    pub(super) keys: Option<&'a TenantKeys>,
    pub(super) action: Action,
    pub(super) repeat: &'a RepeatKey,
}

impl Memory<'_> {
    /// What an earlier request with this id did, if it was this same request.
    ///
    /// # Errors
    /// [`Error::RequestIdReused`] if it was another request.
    pub(super) async fn recall(&self, tx: &DatabaseTransaction) -> Result<Option<PriorResult>, Error> {
        let (tenant, service) = (self.tenant.as_str().to_owned(), self.repeat.service.as_str().to_owned());
        let key = (tenant, service, self.user_column(), self.repeat.id.as_uuid());
        let Some(earlier) = request::Entity::find_by_id(key).one(tx).await? else { return Ok(None) };
        if !self.fingerprints().any(|fingerprint| fingerprint == earlier.fingerprint) {
            return Err(Error::RequestIdReused);
        }
        Ok(Some(PriorResult { subject: earlier.subject_id, version: earlier.version }))
    }

    /// Remembers what the request did.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the same request is being made at this moment: the next attempt sees what that one did.
    pub(super) async fn keep(
        &self,
        tx: &DatabaseTransaction,
        result: PriorResult,
        now: Timestamp,
    ) -> Result<(), Error> {
        let row = request::ActiveModel {
            tenant_id: Set(self.tenant.as_str().to_owned()),
            service: Set(self.repeat.service.as_str().to_owned()),
            user_id: Set(self.user_column()),
            request_id: Set(self.repeat.id.as_uuid()),
            fingerprint: Set(self.newest_fingerprint()),
            subject_id: Set(result.subject),
            version: Set(result.version),
            create_time: Set(now.micros()),
        };
        match row.insert(tx).await {
            Ok(_) => Ok(()),
            Err(error) if violates(&error, "requests_pkey", "requests.request_id") => Err(Error::Conflict),
            Err(error) => Err(error.into()),
        }
    }

    /// The request as text, for a row that keeps it until what it asks for is done.
    pub(super) fn noted(&self) -> String {
        let service = self.repeat.service.as_str().to_owned();
        let (user, id) = (self.user_column(), self.repeat.id.as_uuid().to_string());
        let noted = Noted { service, user, id, fingerprint: self.newest_fingerprint() };
        json!(noted).to_string()
    }

    fn user_column(&self) -> String {
        self.repeat.user.as_ref().map_or(String::new(), |user| user.as_str().to_owned())
    }

    /// The hashes of action and payload that the request may be remembered by, the newest first: keyed, so that the table
    /// gives nothing away about a secret.
    fn fingerprints(&self) -> impl Iterator<Item = Vec<u8>> {
        let (action, payload) = (self.action.as_str().as_bytes(), self.repeat.payload.as_slice());
        let keyed = self.keys.into_iter().flat_map(TenantKeys::all);
        let keyed = keyed.map(move |key| key.fingerprint(self.tenant, &[action, payload]).to_vec());
        let tenant = self.tenant.as_str().as_bytes();
        let keyless = || sha256(&[b"credvault request ".as_slice(), tenant, b" ", action, b" ", payload]);
        keyed.chain(self.keys.is_none().then(|| keyless().to_vec()))
    }

    fn newest_fingerprint(&self) -> Vec<u8> {
        self.fingerprints().next().unwrap_or_default()
    }
}

/// A request whose effect comes later than its answer.
#[derive(Serialize, Deserialize)]
struct Noted {
    service: String,
    user: String,
    id: String,
    fingerprint: Vec<u8>,
}

/// Remembers what became of a request that was noted, unless it is `own`, the one that is being answered.
///
/// # Errors
/// The database fails.
pub(super) async fn keep_noted(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    (noted, own): (&str, Option<&RepeatKey>),
    result: PriorResult,
    now: Timestamp,
) -> Result<(), Error> {
    // What does not read any more is not recognised any more.
    let Ok(Noted { service, user, id, fingerprint }) = serde_json::from_str::<Noted>(noted) else {
        return Ok(());
    };
    let Ok(id) = Uuid::parse_str(&id) else { return Ok(()) };
    let is_own = own.is_some_and(|own| {
        let of = own.user.as_ref().map_or("", |user| user.as_str());
        (own.service.as_str(), of, own.id.as_uuid()) == (service.as_str(), user.as_str(), id)
    });
    let key = (tenant.as_str().to_owned(), service.clone(), user.clone(), id);
    if is_own || request::Entity::find_by_id(key).one(tx).await?.is_some() {
        return Ok(());
    }
    let row = request::ActiveModel {
        tenant_id: Set(tenant.as_str().to_owned()),
        service: Set(service),
        user_id: Set(user),
        request_id: Set(id),
        fingerprint: Set(fingerprint),
        subject_id: Set(result.subject),
        version: Set(result.version),
        create_time: Set(now.micros()),
    };
    request::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}
