//! `AdminService`, the part about events: the URLs that they are sent to, and what becomes of them.

use credvault_operations::{Call, events};

use super::frame::Answer;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn put_event_endpoint(
    call: &mut Call,
    request: v1::PutEventEndpointRequest,
) -> Answer<v1::PutEventEndpointResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let stored = events::put_endpoint(call, tenant, wire::put_event_endpoint(request)).await?;
    Ok(stored.map(wire::stored_event_endpoint))
}

pub(super) async fn list_event_endpoints(
    call: &mut Call,
    request: v1::ListEventEndpointsRequest,
) -> Answer<v1::ListEventEndpointsResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let listed = events::list_endpoints(call, tenant, wire::paging(request)).await?;
    Ok(listed.map(|listed| v1::ListEventEndpointsResponse {
        endpoints: listed.items.into_iter().map(wire::event_endpoint).collect(),
        next_page_token: listed.next_page_token,
    }))
}

pub(super) async fn delete_event_endpoint(
    call: &mut Call,
    request: v1::DeleteEventEndpointRequest,
) -> Answer<v1::DeleteEventEndpointResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let id = wire::event_endpoint_id(&request.endpoint_id);
    let repeat = wire::repeat(&request.request_id, &request);
    let deleted = events::delete_endpoint(call, tenant, id, repeat).await?;
    Ok(deleted.map(|()| v1::DeleteEventEndpointResponse {}))
}

pub(super) async fn test_event_endpoint(
    call: &mut Call,
    request: v1::TestEventEndpointRequest,
) -> Answer<v1::TestEventEndpointResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let tested = events::test_endpoint(call, tenant, wire::event_endpoint_id(&request.endpoint_id)).await?;
    Ok(tested.map(|tested| v1::TestEventEndpointResponse {
        delivered: tested.failure.is_none(),
        failure: tested.failure.unwrap_or_default(),
        event_id: tested.event.to_string(),
    }))
}

pub(super) async fn list_event_deliveries(
    call: &mut Call,
    request: v1::ListEventDeliveriesRequest,
) -> Answer<v1::ListEventDeliveriesResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let endpoint = wire::optional_event_endpoint_id(&request.endpoint_id);
    let state = wire::delivery_state(request.state);
    let listed = events::list_deliveries(call, tenant, endpoint, state, wire::paging(request)).await?;
    Ok(listed.map(|listed| v1::ListEventDeliveriesResponse {
        deliveries: listed.items.into_iter().map(wire::event_delivery).collect(),
        next_page_token: listed.next_page_token,
    }))
}

pub(super) async fn retry_event_delivery(
    call: &mut Call,
    request: v1::RetryEventDeliveryRequest,
) -> Answer<v1::RetryEventDeliveryResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let endpoint = wire::event_endpoint_id(&request.endpoint_id);
    let event = wire::event_id(&request.event_id);
    let repeat = wire::repeat(&request.request_id, &request);
    let retried = events::retry_delivery(call, tenant, endpoint, event, repeat).await?;
    Ok(retried
        .map(|delivery| v1::RetryEventDeliveryResponse { delivery: Some(wire::event_delivery(delivery)) }))
}
