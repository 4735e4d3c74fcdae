//! `AdminService`, the part about events: the URLs that they are sent to, and what becomes of them.

use std::sync::Arc;

use credvault_store::{Attempt, Recorded, delivery_name, endpoint_name};

use super::admin::administer;
use crate::call::Call;
use crate::proto::v1;
use crate::wire;
use credvault_operations::Refusal;

pub(super) async fn put_event_endpoint(
    call: Arc<Call>,
    request: v1::PutEventEndpointRequest,
) -> Result<Recorded<v1::PutEventEndpointResponse>, Refusal> {
    let scope = administer(&call, wire::optional_tenant_id(&request.tenant_id)?)?;
    let new = wire::new_event_endpoint(&request, &call.vault.broker)?;
    new.id.into_iter().for_each(|id| call.about_other(endpoint_name(id)));
    let write = call.write(&request.request_id, &request)?;
    let stored = call.vault.store.event_endpoints().put(&scope, &new, &write).await?;
    Ok(stored.map(wire::stored_event_endpoint))
}

pub(super) async fn list_event_endpoints(
    call: Arc<Call>,
    request: v1::ListEventEndpointsRequest,
) -> Result<Recorded<v1::ListEventEndpointsResponse>, Refusal> {
    let scope = administer(&call, wire::optional_tenant_id(&request.tenant_id)?)?;
    let page = call.page(None, &request).await?;
    let listed = call.vault.store.event_endpoints().list(&scope, &page).await?;
    let endpoints = listed.items.into_iter().map(wire::event_endpoint).collect();
    call.recorded(v1::ListEventEndpointsResponse { endpoints, next_page_token: listed.next_page_token }).await
}

pub(super) async fn delete_event_endpoint(
    call: Arc<Call>,
    request: v1::DeleteEventEndpointRequest,
) -> Result<Recorded<v1::DeleteEventEndpointResponse>, Refusal> {
    let scope = administer(&call, wire::optional_tenant_id(&request.tenant_id)?)?;
    let id = wire::event_endpoint_id(&request.endpoint_id)?;
    call.about_other(endpoint_name(id));
    let write = call.write(&request.request_id, &request)?;
    let deleted =
        call.vault.store.event_endpoints().delete(&scope, id, &write, call.patience().into_std()).await?;
    Ok(deleted.map(|()| v1::DeleteEventEndpointResponse {}))
}

pub(super) async fn test_event_endpoint(
    call: Arc<Call>,
    request: v1::TestEventEndpointRequest,
) -> Result<Recorded<v1::TestEventEndpointResponse>, Refusal> {
    let scope = administer(&call, wire::optional_tenant_id(&request.tenant_id)?)?;
    let id = wire::event_endpoint_id(&request.endpoint_id)?;
    call.about_changed(vec![endpoint_name(id)]);
    let (target, event) = call.vault.store.event_deliveries().test(&scope, id).await?;
    let sending = tokio::time::timeout_at(call.patience(), call.vault.broker.send_event(&target, &event));
    let failure = match sending.await {
        Ok(Attempt::Delivered) => String::new(),
        Ok(Attempt::Failed { failure, .. }) => failure,
        Err(_) => "it did not answer before the call's deadline".to_owned(),
    };
    let (delivered, event_id) = (failure.is_empty(), event.event.to_string());
    call.recorded(v1::TestEventEndpointResponse { delivered, failure, event_id }).await
}

pub(super) async fn list_event_deliveries(
    call: Arc<Call>,
    request: v1::ListEventDeliveriesRequest,
) -> Result<Recorded<v1::ListEventDeliveriesResponse>, Refusal> {
    let scope = administer(&call, wire::optional_tenant_id(&request.tenant_id)?)?;
    let endpoint = wire::optional_event_endpoint_id(&request.endpoint_id)?;
    let state = wire::delivery_state(request.state)?;
    let page = call.page(None, &request).await?;
    let listed = call.vault.store.event_deliveries().list(&scope, endpoint, state, &page).await?;
    let mut shown = call.shown(&scope);
    let deliveries = listed.items.into_iter().filter(|delivery| {
        let (provider, owner) = delivery.subject();
        shown.shows(provider.as_ref(), owner.as_ref())
    });
    let deliveries = deliveries.map(wire::event_delivery).collect();
    call.recorded(v1::ListEventDeliveriesResponse { deliveries, next_page_token: listed.next_page_token })
        .await
}

pub(super) async fn retry_event_delivery(
    call: Arc<Call>,
    request: v1::RetryEventDeliveryRequest,
) -> Result<Recorded<v1::RetryEventDeliveryResponse>, Refusal> {
    let scope = administer(&call, wire::optional_tenant_id(&request.tenant_id)?)?;
    let endpoint = wire::event_endpoint_id(&request.endpoint_id)?;
    let event = wire::event_id(&request.event_id)?;
    call.about_other(delivery_name(endpoint, event));
    let write = call.write(&request.request_id, &request)?;
    let again = call.vault.store.event_deliveries().retry(&scope, endpoint, event, &write).await?;
    Ok(again
        .map(|delivery| v1::RetryEventDeliveryResponse { delivery: Some(wire::event_delivery(delivery)) }))
}
