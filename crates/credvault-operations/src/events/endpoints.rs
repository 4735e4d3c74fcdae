//! The URLs that events are sent to.

use credvault_domain::{EventEndpointId, EventId, EventType, TenantId, Violations};
use credvault_identity::Facts;
use credvault_store::{Attempt, EventEndpoint, Listed, NewEventEndpoint, Recorded, endpoint_name};
use secrecy::SecretString;

use crate::{Call, Paging, Parsed, Refusal, Repeat};

/// An endpoint to be stored, as a caller gives it.
pub struct PutEndpoint {
    /// Which one; `None` makes a new one.
    pub id: Parsed<Option<EventEndpointId>>,
    /// The URL that events are sent to.
    pub url: String,
    /// The events that it gets; none means all.
    pub types: Parsed<Vec<EventType>>,
    /// What people call it.
    pub description: Parsed<String>,
    /// Whether it gets a new secret.
    pub rotate_secret: bool,
    /// How a repetition is recognised.
    pub repeat: Parsed<Option<Repeat>>,
}

crate::debug_without_content!(PutEndpoint);

/// `PutEventEndpoint`. A new endpoint's secret and a new secret are in the answer, once.
///
/// # Errors
/// Policy does not permit it, or the broker would not call the URL.
pub async fn put_endpoint(
    call: &mut Call,
    tenant: Option<TenantId>,
    put: PutEndpoint,
) -> Result<Recorded<(EventEndpoint, Option<SecretString>)>, Refusal> {
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let PutEndpoint { id, url, types, description, rotate_secret, repeat } = put;
    let mut violations = Violations::default();
    let url = if url.is_empty() { Err("must be given") } else { call.context.broker.event_url(&url) };
    let url = violations.note("url", url);
    let (id, types) = (violations.collect(id), violations.collect(types));
    let description = violations.collect(description);
    let Some((((url, id), types), description)) = url.zip(id).zip(types).zip(description) else {
        return Err(violations.into());
    };
    let new = NewEventEndpoint { id, url, types, description, rotate_secret };
    call.subject.other = new.id.map(endpoint_name);
    let write = call.write(&permit, repeat)?;
    Ok(call.context.store.event_endpoints().put(&scope, &new, &write).await?)
}

/// `ListEventEndpoints`.
///
/// # Errors
/// There is no such tenant, or policy does not permit it.
pub async fn list_endpoints(
    call: &mut Call,
    tenant: Option<TenantId>,
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<EventEndpoint>>, Refusal> {
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let page = call.page(None, paging).await?;
    let listed = call.context.store.event_endpoints().list(&scope, &page).await?;
    call.recorded(&permit, listed).await
}

/// `DeleteEventEndpoint`: what was to be sent to it goes with it.
///
/// # Errors
/// There is no such endpoint, or policy does not permit it.
pub async fn delete_endpoint(
    call: &mut Call,
    tenant: Option<TenantId>,
    id: Parsed<EventEndpointId>,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<()>, Refusal> {
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let id = id?;
    call.subject.other = Some(endpoint_name(id));
    let write = call.write(&permit, repeat)?;
    let until = call.patience().into_std();
    Ok(call.context.store.event_endpoints().delete(&scope, id, &write, until).await?)
}

/// What became of an event that was sent to test an endpoint.
#[derive(Debug)]
pub struct TestedEndpoint {
    /// The id of the event that was sent.
    pub event: EventId,
    /// Why it was not delivered; `None` if it was.
    pub failure: Option<String>,
}

/// `TestEventEndpoint`: sends one event now, and tells how the endpoint answered.
///
/// # Errors
/// There is no such endpoint, or policy does not permit it.
pub async fn test_endpoint(
    call: &mut Call,
    tenant: Option<TenantId>,
    id: Parsed<EventEndpointId>,
) -> Result<Recorded<TestedEndpoint>, Refusal> {
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let id = id?;
    call.subject.changed = vec![endpoint_name(id)];
    let (target, event) = call.context.store.event_deliveries().test(&scope, id).await?;
    let sending = call.context.broker.send_event(&target, &event);
    let failure = match tokio::time::timeout_at(call.patience(), sending).await {
        Ok(Attempt::Delivered) => None,
        Ok(Attempt::Failed { failure, .. }) => Some(failure),
        Err(_) => Some("it did not answer before the call's deadline".to_owned()),
    };
    call.recorded(&permit, TestedEndpoint { event: event.event, failure }).await
}
