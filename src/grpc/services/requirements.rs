//! Requirements: `CheckRequirements` of `ConnectionService`, and the tools of `AdminService`.

use credvault_operations::{Call, requirements};

use super::frame::Answer;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn check_requirements(
    call: &mut Call,
    request: v1::CheckRequirementsRequest,
) -> Answer<v1::CheckRequirementsResponse> {
    let checked = requirements::check(call, wire::check_requirements(request)).await?;
    Ok(checked.map(wire::checked))
}

pub(super) async fn put_tool(call: &mut Call, request: v1::PutToolRequest) -> Answer<v1::PutToolResponse> {
    let stored = requirements::put_tool(call, wire::put_tool(request)?).await?;
    Ok(stored.map(|tool| v1::PutToolResponse { tool: Some(wire::tool(tool)) }))
}

pub(super) async fn list_tools(
    call: &mut Call,
    request: v1::ListToolsRequest,
) -> Answer<v1::ListToolsResponse> {
    let listed = requirements::list_tools(call, wire::paging(request)).await?;
    Ok(listed.map(|listed| v1::ListToolsResponse {
        tools: listed.items.into_iter().map(wire::tool).collect(),
        next_page_token: listed.next_page_token,
    }))
}

pub(super) async fn delete_tool(
    call: &mut Call,
    request: v1::DeleteToolRequest,
) -> Answer<v1::DeleteToolResponse> {
    let name = wire::tool_name(&request.name)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let deleted = requirements::delete_tool(call, name, repeat).await?;
    Ok(deleted.map(|()| v1::DeleteToolResponse {}))
}
