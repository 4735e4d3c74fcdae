//! The vault's own audit events to records and back.

use std::borrow::Cow;

use credvault_domain::{
    Action, AuditEvent, AuditOutcome, ConnectionId, ProviderId, Purpose, Reason, ServiceId, TenantId,
    TenantSource, Timestamp, TraceId, UserId,
};

use crate::{Record, RecordError};

impl<'a> From<&'a AuditEvent> for Record<'a> {
    fn from(event: &'a AuditEvent) -> Self {
        // Without `..`: a new field of an event must not be left out of the log unnoticed.
        let AuditEvent {
            id,
            time,
            tenant,
            service,
            user,
            tenant_source,
            action,
            connection,
            owner_user,
            provider,
            version,
            purpose,
            changed,
            released,
            outcome,
            reason,
            policies,
            trace,
            source_address,
        } = event;
        Self {
            id: *id,
            time: time.micros(),
            trace: trace.to_bytes(),
            tenant: tenant.as_str().into(),
            tenant_source: tenant_source.as_str().into(),
            action: action.as_str().into(),
            outcome: outcome.as_str().into(),
            service: service.as_ref().map(|service| service.as_str().into()),
            user: user.as_ref().map(|user| user.as_str().into()),
            connection: connection.map(|id| id.as_uuid()),
            owner_user: owner_user.as_ref().map(|user| user.as_str().into()),
            provider: provider.as_ref().map(|provider| provider.as_str().into()),
            version: *version,
            purpose: purpose.as_ref().map(|purpose| purpose.as_str().into()),
            reason: reason.map(|reason| reason.as_str().into()),
            source_address: *source_address,
            changed: borrowed(changed),
            released: borrowed(released),
            policies: borrowed(policies),
        }
    }
}

impl TryFrom<Record<'_>> for AuditEvent {
    type Error = RecordError;

    fn try_from(record: Record<'_>) -> Result<Self, RecordError> {
        let reason = |name: Cow<'_, str>| {
            let known = Reason::ALL.iter().copied().find(|reason| reason.as_str() == name);
            known.ok_or(RecordError::Unknown("reason"))
        };
        let purpose = |text: Cow<'_, str>| Purpose::parse(&text).map_err(|_| RecordError::Unknown("purpose"));
        Ok(Self {
            id: record.id,
            time: Timestamp::from_micros(record.time),
            tenant: TenantId::from_stored(record.tenant.into_owned()),
            service: record.service.as_deref().map(service).transpose()?,
            user: record.user.map(|user| UserId::from_stored(user.into_owned())),
            tenant_source: TenantSource::from_stored(&record.tenant_source)
                .ok_or(RecordError::Unknown("tenant source"))?,
            action: Action::from_stored(&record.action).ok_or(RecordError::Unknown("action"))?,
            connection: record.connection.map(ConnectionId::from_uuid),
            owner_user: record.owner_user.map(|user| UserId::from_stored(user.into_owned())),
            provider: record.provider.map(|provider| ProviderId::from_stored(provider.into_owned())),
            version: record.version,
            purpose: record.purpose.map(purpose).transpose()?,
            changed: owned(record.changed),
            released: owned(record.released),
            outcome: AuditOutcome::from_stored(&record.outcome).ok_or(RecordError::Unknown("outcome"))?,
            reason: record.reason.map(reason).transpose()?,
            policies: owned(record.policies),
            trace: TraceId::from_bytes(record.trace),
            source_address: record.source_address,
        })
    }
}

fn service(id: &str) -> Result<ServiceId, RecordError> {
    match id {
        ServiceId::VAULT => Ok(ServiceId::vault()),
        id => ServiceId::parse(id).map_err(|_| RecordError::Unknown("service")),
    }
}

fn borrowed(texts: &[String]) -> Vec<Cow<'_, str>> {
    texts.iter().map(|text| text.as_str().into()).collect()
}

fn owned(texts: Vec<Cow<'_, str>>) -> Vec<String> {
    texts.into_iter().map(Cow::into_owned).collect()
}
