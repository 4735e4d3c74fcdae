//! The audit log as callers use it.

pub(crate) mod access;
pub(crate) mod journal;
mod keys;
pub(crate) mod last_uses;
pub(crate) mod log;
mod packing;
pub(crate) mod write;

pub(crate) mod buffer;

pub(crate) mod sequencer;

mod archive;
pub(crate) mod care;
mod counting;
mod days;
mod ends;
mod fold;
mod keeping;
mod lease;
mod moving;
mod pieces;
mod removal;
mod whole;
mod wholes;
mod words;

pub(crate) mod filter;
mod old;
pub(crate) mod query;
pub(crate) mod record;
mod scan;
mod tail;

pub(crate) mod tree;

mod cosignatures;
pub(crate) mod signers;

pub(crate) mod checkpoints;
mod finding;
pub(crate) mod proofs;

pub(crate) mod witnesses;

pub(crate) mod export;
pub(crate) mod stretch;

use credvault_domain::{Action, AuditEvent, ConnectionId, Permit, ServiceId, TenantId, TraceId};

use uuid::Uuid;

use crate::usage::buffer::OwnCount;
use crate::{Error, Store};

/// A value whose audit record is durable, or accepted for an action whose calls do not wait for theirs because the operator
/// has chosen so ([`Buffered`](crate::Buffered)). Only the store makes one, so a response built from it cannot leave unrecorded.
#[derive(Debug)]
#[must_use]
pub struct Recorded<T> {
    value: T,
    record: Option<Uuid>,
}

impl<T> Recorded<T> {
    pub(crate) fn durable(value: T, record: Option<Uuid>) -> Self {
        Self { value, record }
    }

    /// The id of the record. Of several records, it is that of the call as a whole.
    pub fn record(&self) -> Option<Uuid> {
        self.record
    }

    /// Another value for the same record.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Recorded<U> {
        Recorded { value: convert(self.value), record: self.record }
    }

    /// The value, without the proof that its record is durable.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The value, to be looked at.
    pub fn get(&self) -> &T {
        &self.value
    }
}

/// Writes audit records of calls that change nothing, and reads the log.
#[derive(Clone, Copy, Debug)]
pub struct Audit<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of audit records.
    pub fn audit(&self) -> Audit<'_> {
        Audit { store: self }
    }

    /// The record of something that the vault does by itself, ready to be inserted.
    pub(crate) fn own_event(&self, tenant: &TenantId, action: Action) -> Result<AuditEvent, Error> {
        self.own(AuditEvent::of(tenant.clone(), action))
    }

    /// The same for a record that says more already: by the vault's name and in a trace of its own.
    pub(crate) fn own(&self, mut event: AuditEvent) -> Result<AuditEvent, Error> {
        event.id = self.new_id()?;
        event.time = self.now();
        event.service.get_or_insert_with(ServiceId::vault);
        if event.trace == TraceId::NONE {
            let mut bytes = [0; 16];
            self.keyring().random().fill(&mut bytes).map_err(|error| Error::Key(error.into()))?;
            event.trace = TraceId::from_bytes(bytes);
        }
        Ok(event)
    }
}

impl Audit<'_> {
    /// Makes the record of a call that `permit` allows durable, and vouches for `value`. Records of many calls share a
    /// commit.
    ///
    /// # Errors
    /// [`Error::AuditUnavailable`] if that did not succeed in time; `value` is dropped then.
    pub async fn record<T>(
        &self,
        permit: &Permit,
        event: AuditEvent,
        value: T,
    ) -> Result<Recorded<T>, Error> {
        self.record_event(AuditEvent { policies: permit.policies().to_vec(), ..event }, value).await
    }

    /// The same where the permission is in the record already.
    pub(crate) async fn record_event<T>(&self, event: AuditEvent, value: T) -> Result<Recorded<T>, Error> {
        let record = self.append(vec![event]).await?;
        Ok(Recorded::durable(value, record))
    }

    /// Makes the record of a refusal durable, and gives its id. It vouches for nothing.
    ///
    /// # Errors
    /// [`Error::AuditUnavailable`] if that did not succeed in time.
    pub async fn record_refusal(&self, event: AuditEvent) -> Result<Option<Uuid>, Error> {
        self.append(vec![event]).await
    }

    /// Makes the records of fetches that `_permit` allows durable, counts them, notes when each connection was used, and
    /// vouches for `value`. Each record names its own policies; the first is that of the call as a whole.
    ///
    /// # Errors
    /// [`Error::AuditUnavailable`] if that did not succeed in time; `value` is dropped then.
    pub async fn record_fetches<T>(
        &self,
        _permit: &Permit,
        events: Vec<AuditEvent>,
        used: Vec<(TenantId, ConnectionId)>,
        value: T,
    ) -> Result<Recorded<T>, Error> {
        let now = self.store.now();
        let of_platform = |event: &AuditEvent| {
            used.iter().any(|(owner, id)| owner.is_platform() && event.connection == Some(*id))
        };
        let counted = |event: &AuditEvent| OwnCount::of_fetch(event, of_platform(event), now);
        let fetched: Vec<_> = events.iter().filter_map(counted).collect();
        let record = self.append(events).await?;
        self.store.last_uses().note(used, now);
        let buffer = &self.store.usage_writer().buffer;
        fetched.into_iter().for_each(|fetch| buffer.add(fetch));
        Ok(Recorded::durable(value, record))
    }

    /// Makes records durable, and gives the id of the first.
    async fn append(&self, mut events: Vec<AuditEvent>) -> Result<Option<Uuid>, Error> {
        let now = self.store.now();
        for event in &mut events {
            event.id = self.store.new_id()?;
            event.time = now;
        }
        self.store.audit_log().append(&events).await?;
        Ok(events.first().map(|event| event.id))
    }
}
