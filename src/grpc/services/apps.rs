//! `AdminService`, the part about apps at providers.

use credvault_operations::{Call, tenants};

use super::frame::Answer;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn put_o_auth_app(
    call: &mut Call,
    request: v1::PutOAuthAppRequest,
) -> Answer<v1::PutOAuthAppResponse> {
    let stored = tenants::put_app(call, wire::put_app(request)?).await?;
    Ok(stored.map(|app| v1::PutOAuthAppResponse { app: Some(wire::oauth_app(app)) }))
}

pub(super) async fn list_o_auth_apps(
    call: &mut Call,
    request: v1::ListOAuthAppsRequest,
) -> Answer<v1::ListOAuthAppsResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let listed = tenants::list_apps(call, tenant, wire::paging(request)).await?;
    Ok(listed.map(|listed| v1::ListOAuthAppsResponse {
        apps: listed.items.into_iter().map(wire::oauth_app).collect(),
        next_page_token: listed.next_page_token,
    }))
}

pub(super) async fn delete_o_auth_app(
    call: &mut Call,
    request: v1::DeleteOAuthAppRequest,
) -> Answer<v1::DeleteOAuthAppResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let provider = wire::provider_id(&request.provider)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let server = Some(request.server).filter(|server| !server.is_empty());
    let deleted = tenants::delete_app(call, tenant, provider, server, repeat).await?;
    Ok(deleted.map(|()| v1::DeleteOAuthAppResponse {}))
}
