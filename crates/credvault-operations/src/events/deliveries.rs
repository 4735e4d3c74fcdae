//! What became of each event that was to be sent.

use credvault_domain::{DeliveryState, EventEndpointId, EventId, TenantId};
use credvault_identity::Facts;
use credvault_store::{EventDelivery, Listed, Recorded, delivery_name};

use crate::{Call, Paging, Parsed, Refusal, Repeat};

/// `ListEventDeliveries`: those about connections that policy shows to the caller.
///
/// # Errors
/// There is no such tenant, or policy does not permit the list as a whole.
pub async fn list_deliveries(
    call: &mut Call,
    tenant: Option<TenantId>,
    endpoint: Parsed<Option<EventEndpointId>>,
    state: Parsed<Option<DeliveryState>>,
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<EventDelivery>>, Refusal> {
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let (endpoint, state) = (endpoint?, state?);
    let page = call.page(None, paging).await?;
    let mut listed = call.context.store.event_deliveries().list(&scope, endpoint, state, &page).await?;
    let mut shown = call.shown(&scope);
    listed.items.retain(|delivery| {
        let (provider, owner) = delivery.subject();
        shown.shows(provider.as_ref(), owner.as_ref())
    });
    call.recorded(&permit, listed).await
}

/// `RetryEventDelivery`: sends an event once more.
///
/// # Errors
/// There is no such delivery, or policy does not permit it.
pub async fn retry_delivery(
    call: &mut Call,
    tenant: Option<TenantId>,
    endpoint: Parsed<EventEndpointId>,
    event: Parsed<EventId>,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<EventDelivery>, Refusal> {
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let (endpoint, event) = (endpoint?, event?);
    call.subject.other = Some(delivery_name(endpoint, event));
    let write = call.write(&permit, repeat)?;
    Ok(call.context.store.event_deliveries().retry(&scope, endpoint, event, &write).await?)
}
