//! `ConnectionService`, the part about configs of internal services.

use credvault_operations::{Call, services};

use super::frame::Answer;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn set_service_config(
    call: &mut Call,
    request: v1::SetServiceConfigRequest,
) -> Answer<v1::SetServiceConfigResponse> {
    let set = services::set(call, wire::set_service_config(request)?).await?;
    Ok(set.map(|set| v1::SetServiceConfigResponse { service_config: Some(wire::service_config(set)) }))
}

pub(super) async fn list_service_configs(
    call: &mut Call,
    request: v1::ListServiceConfigsRequest,
) -> Answer<v1::ListServiceConfigsResponse> {
    let filter = wire::service_config_filter(&request)?;
    let listed = services::list(call, filter, wire::paging(request)).await?;
    Ok(listed.map(|listed| v1::ListServiceConfigsResponse {
        service_configs: listed.items.into_iter().map(wire::service_config).collect(),
        next_page_token: listed.next_page_token,
    }))
}

pub(super) async fn delete_service_config(
    call: &mut Call,
    request: v1::DeleteServiceConfigRequest,
) -> Answer<v1::DeleteServiceConfigResponse> {
    let service = wire::service_name(&request.service)?;
    let etag = wire::etag("etag", &request.etag)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let deleted = services::delete(call, service, wire::owner(request.owner), etag, repeat).await?;
    Ok(deleted
        .map(|deleted| v1::DeleteServiceConfigResponse { service_config: deleted.map(wire::service_config) }))
}
