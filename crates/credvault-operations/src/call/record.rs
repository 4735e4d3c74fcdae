//! What the audit log says of a call: of its success, which its answer or change is made with, and of its refusal.

use std::sync::Arc;

use credvault_crypto::Opened;
use credvault_domain::{Action, AuditEvent, ConnectionId, Permit, RequestId, TenantId, TenantSource, chain};
use credvault_store::{Error as StoreError, Recorded, RepeatKey, Write, connect_session_name};
use uuid::Uuid;

use super::{Call, Context, Origin};
use crate::{Class, Parsed, Refusal};

/// How a repetition of a request is recognised.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// The caller's id of the request.
    pub id: RequestId,
    /// The request, byte by byte.
    pub payload: Arc<Opened>,
}

impl Call {
    /// What accompanies a change: permission, record, and how a repetition is recognised.
    ///
    /// # Errors
    /// The request id is not one.
    pub fn write(&self, permit: &Permit, repeat: Parsed<Option<Repeat>>) -> Result<Write, Refusal> {
        let repeat = repeat?.map(|Repeat { id, payload }| {
            let (service, user) = (self.caller.service.clone(), self.caller.user().cloned());
            RepeatKey { service, user, id, payload }
        });
        Ok(Write::new(permit, self.event(), repeat))
    }

    /// Records a call that changed nothing and vouches for its answer.
    ///
    /// # Errors
    /// The record could not be made durable.
    pub async fn recorded<T>(&self, permit: &Permit, answer: T) -> Result<Recorded<T>, Refusal> {
        Ok(self.context.store.audit().record(permit, self.event(), answer).await?)
    }

    /// Records a fetch, remembers that its connection was used, and vouches for the answer.
    pub(crate) async fn recorded_fetch<T>(
        &self,
        permit: &Permit,
        used: (TenantId, ConnectionId),
        answer: T,
    ) -> Result<Recorded<T>, Refusal> {
        let event = self.event_of(permit);
        Ok(self.context.store.audit().record_fetches(permit, vec![event], vec![used], answer).await?)
    }

    /// The record of the call's success.
    pub(crate) fn event_of(&self, permit: &Permit) -> AuditEvent {
        AuditEvent { policies: permit.policies().to_vec(), ..self.event() }
    }

    /// The record of the call, without the policies that decided.
    pub(crate) fn event(&self) -> AuditEvent {
        let (subject, caller) = (self.subject.clone(), &self.caller);
        let tenant =
            subject.tenant.or_else(|| caller.tenant.as_ref().map(|verified| verified.tenant.clone()));
        let (tenant_source, source_address) = match self.origin {
            Origin::Service => (caller.tenant_source(), Some(caller.source_address)),
            Origin::Browser(address) => (TenantSource::State, Some(address)),
            Origin::Page(address, _) => (TenantSource::Session, Some(address)),
            Origin::Vault => (TenantSource::None, None),
        };
        let session = match self.origin {
            Origin::Page(_, session) => Some(connect_session_name(session)),
            Origin::Service | Origin::Browser(_) | Origin::Vault => None,
        };
        AuditEvent {
            service: Some(caller.service.clone()),
            user: caller.user().cloned(),
            tenant_source,
            connection: subject.connection,
            owner_user: subject.owner_user,
            provider: subject.provider,
            version: subject.version,
            purpose: subject.purpose,
            changed: session.into_iter().chain(subject.changed).collect(),
            released: subject.released,
            trace: self.trace,
            source_address,
            ..AuditEvent::of(tenant.unwrap_or_else(TenantId::platform), self.action)
        }
    }

    /// The record of the call's refusal. It stands in the caller's tenant's log; in the platform's where there is no such
    /// tenant, and for administration. There it says which tenant the call named.
    pub(crate) fn refused_event(&self, refusal: &Refusal) -> AuditEvent {
        let mut event = self.event();
        let unknown = if let Refusal::Store(StoreError::TenantNotFound(tenant)) = refusal {
            Some(tenant)
        } else {
            None
        };
        event.tenant = match &self.caller.tenant {
            Some(verified) if unknown.is_none() && !self.action.administers() => verified.tenant.clone(),
            _ => TenantId::platform(),
        };
        let tenant = self.subject.tenant.as_ref().or(unknown).filter(|tenant| !tenant.is_platform());
        let named = tenant.map(tenant_name).into_iter().chain(self.subject.other.clone());
        event.changed.splice(..0, named);
        event.outcome = refusal.outcome();
        event.reason = Some(refusal.recorded_reason());
        event.policies = refusal.policies().to_vec();
        // Nothing leaves with a refusal.
        event.released = Vec::new();
        event
    }
}

/// How records in the platform's log name a tenant that a refused call was about.
pub fn tenant_name(tenant: &TenantId) -> String {
    format!("tenants/{tenant}")
}

/// Counts a refusal and logs it, with its cause.
pub(crate) fn note_refusal(action: Action, refusal: &Refusal) {
    let (action, reason) = (action.as_str(), refusal.reason().as_str());
    metrics::counter!("credvault_refusals_total", "action" => action, "reason" => reason).increment(1);
    if let Some((limit, of, _)) = refusal.limit() {
        let (limit, of) = (limit.as_str(), of.as_str());
        metrics::counter!("credvault_limit_refusals_total", "limit" => limit, "of" => of).increment(1);
    }
    if matches!(refusal, Refusal::Source(_)) {
        metrics::counter!("credvault_source_refusals_total", "action" => action).increment(1);
    }
    match refusal.class() {
        Class::Unavailable | Class::Broken => {
            tracing::error!(action, reason, error = chain(refusal), "the call failed");
        }
        Class::Denied | Class::Refused | Class::Exhausted => {
            tracing::info!(action, reason, "the call was refused");
        }
    }
}

/// Makes the record of a refusal durable if it can be, counts it and logs it. The refusal stands either way. Gives the id of
/// the record if it is durable.
pub async fn record_refusal(context: &Context, event: AuditEvent, refusal: &Refusal) -> Option<Uuid> {
    note_refusal(event.action, refusal);
    let (action, reason) = (event.action.as_str(), refusal.reason().as_str());
    // A browser acts in the name of a service, and must not use up that service's share.
    let of_browser = matches!(event.tenant_source, TenantSource::State | TenantSource::Session);
    let payer = event.service.as_ref().filter(|_| !of_browser);
    // The log has just failed to take the record of this call: to wait for it again would cost the caller a second time-out.
    let no_log = matches!(refusal, Refusal::Store(StoreError::AuditUnavailable));
    if no_log || !context.limits.records_refusal(payer) {
        metrics::counter!("credvault_refusals_unrecorded_total", "action" => action).increment(1);
        return None;
    }
    match context.store.audit().record_refusal(event).await {
        Ok(record) => record,
        Err(error) => {
            metrics::counter!("credvault_refusals_unrecorded_total", "action" => action).increment(1);
            tracing::error!(action, reason, error = chain(&error), "a refusal could not be recorded");
            None
        }
    }
}
