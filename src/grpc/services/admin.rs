//! `AdminService`: tenants and users; erasures, keys, apps, events and tools are in files of their own. The only service whose
//! requests name a tenant.

use std::sync::Arc;

use credvault_domain::{TenantState, Violations};
use credvault_operations::{Call, Context, dependants, tenants};

use super::apps::{delete_o_auth_app, list_o_auth_apps, put_o_auth_app};
use super::erasure::{erase_tenant, get_erasure, get_signing_key, list_erasures, rotate_signing_key};
use super::events::{
    delete_event_endpoint, list_event_deliveries, list_event_endpoints, put_event_endpoint,
    retry_event_delivery, test_event_endpoint,
};
use super::frame::{Answer, rpcs};
use super::keys::{
    destroy_older_root_key_versions, get_key_status, rotate_audit_signer, rotate_root_key, rotate_tenant_key,
};
use super::limits::{get_source_rules, get_tenant_limits, set_source_rules, set_tenant_limits};
use super::oversight::{
    change_tenant_connections, count_connections, get_success_rates, list_tenant_connections,
};
use super::policy::{explain_policy, get_access_report};
use super::requirements::{delete_tool, list_tools, put_tool};
use super::secrets::{
    check_secret_store, get_secret_places, move_secrets, own_secret_stores, write_off_secret_store,
};
use crate::grpc::wire;
use credvault_proto::v1;

pub(crate) struct Service(pub(crate) Arc<Context>);

rpcs! {
    Service, v1::admin_service_server::AdminService,
    [
        rotate_tenant_key, RotateTenantKeyStream: RotateTenantKeyRequest -> RotateTenantKeyResponse;
        rotate_root_key, RotateRootKeyStream: RotateRootKeyRequest -> RotateRootKeyResponse;
        move_secrets, MoveSecretsStream: MoveSecretsRequest -> MoveSecretsResponse;
    ]
    create_tenant: CreateTenantRequest -> CreateTenantResponse,
    get_tenant: GetTenantRequest -> GetTenantResponse,
    list_tenants: ListTenantsRequest -> ListTenantsResponse,
    list_platform_dependants: ListPlatformDependantsRequest -> ListPlatformDependantsResponse,
    suspend_tenant: SuspendTenantRequest -> SuspendTenantResponse,
    resume_tenant: ResumeTenantRequest -> ResumeTenantResponse,
    erase_tenant: EraseTenantRequest -> EraseTenantResponse,
    get_erasure: GetErasureRequest -> GetErasureResponse,
    list_erasures: ListErasuresRequest -> ListErasuresResponse,
    get_signing_key: GetSigningKeyRequest -> GetSigningKeyResponse,
    rotate_signing_key: RotateSigningKeyRequest -> RotateSigningKeyResponse,
    rotate_audit_signer: RotateAuditSignerRequest -> RotateAuditSignerResponse,
    list_users: ListUsersRequest -> ListUsersResponse,
    delete_user: DeleteUserRequest -> DeleteUserResponse,
    list_tenant_connections: ListTenantConnectionsRequest -> ListTenantConnectionsResponse,
    change_tenant_connections: ChangeTenantConnectionsRequest -> ChangeTenantConnectionsResponse,
    count_connections: CountConnectionsRequest -> CountConnectionsResponse,
    get_success_rates: GetSuccessRatesRequest -> GetSuccessRatesResponse,
    explain_policy: ExplainPolicyRequest -> ExplainPolicyResponse,
    get_access_report: GetAccessReportRequest -> GetAccessReportResponse,
    get_key_status: GetKeyStatusRequest -> GetKeyStatusResponse,
    destroy_older_root_key_versions: DestroyOlderRootKeyVersionsRequest -> DestroyOlderRootKeyVersionsResponse,
    get_secret_places: GetSecretPlacesRequest -> GetSecretPlacesResponse,
    check_secret_store: CheckSecretStoreRequest -> CheckSecretStoreResponse,
    write_off_secret_store: WriteOffSecretStoreRequest -> WriteOffSecretStoreResponse,
    own_secret_stores: OwnSecretStoresRequest -> OwnSecretStoresResponse,
    put_o_auth_app: PutOAuthAppRequest -> PutOAuthAppResponse,
    list_o_auth_apps: ListOAuthAppsRequest -> ListOAuthAppsResponse,
    delete_o_auth_app: DeleteOAuthAppRequest -> DeleteOAuthAppResponse,
    put_event_endpoint: PutEventEndpointRequest -> PutEventEndpointResponse,
    list_event_endpoints: ListEventEndpointsRequest -> ListEventEndpointsResponse,
    delete_event_endpoint: DeleteEventEndpointRequest -> DeleteEventEndpointResponse,
    test_event_endpoint: TestEventEndpointRequest -> TestEventEndpointResponse,
    list_event_deliveries: ListEventDeliveriesRequest -> ListEventDeliveriesResponse,
    retry_event_delivery: RetryEventDeliveryRequest -> RetryEventDeliveryResponse,
    put_tool: PutToolRequest -> PutToolResponse,
    list_tools: ListToolsRequest -> ListToolsResponse,
    delete_tool: DeleteToolRequest -> DeleteToolResponse,
    get_tenant_limits: GetTenantLimitsRequest -> GetTenantLimitsResponse,
    set_tenant_limits: SetTenantLimitsRequest -> SetTenantLimitsResponse,
    get_source_rules: GetSourceRulesRequest -> GetSourceRulesResponse,
    set_source_rules: SetSourceRulesRequest -> SetSourceRulesResponse,
}

async fn create_tenant(
    call: &mut Call,
    request: v1::CreateTenantRequest,
) -> Answer<v1::CreateTenantResponse> {
    let mut violations = Violations::default();
    let id = violations.collect(wire::tenant_id(&request.tenant_id));
    violations.collect(wire::display_name(&request.display_name));
    let Some(id) = id.filter(|_| violations.is_empty()) else { return Err(violations.into()) };
    let repeat = wire::repeat(&request.request_id, &request);
    let created = tenants::create(call, id, &request.display_name, repeat).await?;
    Ok(created.map(|created| v1::CreateTenantResponse { tenant: Some(wire::tenant(created)) }))
}

async fn get_tenant(call: &mut Call, request: v1::GetTenantRequest) -> Answer<v1::GetTenantResponse> {
    let tenant = tenants::get(call, wire::tenant_id(&request.tenant_id)?).await?;
    Ok(tenant.map(|tenant| v1::GetTenantResponse { tenant: Some(wire::tenant(tenant)) }))
}

async fn list_tenants(call: &mut Call, request: v1::ListTenantsRequest) -> Answer<v1::ListTenantsResponse> {
    let state = wire::tenant_state(request.state)?;
    let listed = tenants::list(call, state, wire::paging(request)).await?;
    Ok(listed.map(|listed| v1::ListTenantsResponse {
        tenants: listed.items.into_iter().map(wire::tenant).collect(),
        next_page_token: listed.next_page_token,
    }))
}

async fn list_platform_dependants(
    call: &mut Call,
    request: v1::ListPlatformDependantsRequest,
) -> Answer<v1::ListPlatformDependantsResponse> {
    let provider = wire::optional_provider_id(&request.provider)?;
    let listed = dependants::list(call, provider, wire::paging(request)).await?;
    Ok(listed.map(|listed| v1::ListPlatformDependantsResponse {
        dependants: listed.items.into_iter().map(wire::dependant).collect(),
        next_page_token: listed.next_page_token,
    }))
}

async fn suspend_tenant(
    call: &mut Call,
    request: v1::SuspendTenantRequest,
) -> Answer<v1::SuspendTenantResponse> {
    let id = wire::tenant_id(&request.tenant_id)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let tenant = tenants::set_state(call, id, TenantState::Suspended, repeat).await?;
    Ok(tenant.map(|tenant| v1::SuspendTenantResponse { tenant: Some(wire::tenant(tenant)) }))
}

async fn resume_tenant(
    call: &mut Call,
    request: v1::ResumeTenantRequest,
) -> Answer<v1::ResumeTenantResponse> {
    let id = wire::tenant_id(&request.tenant_id)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let tenant = tenants::set_state(call, id, TenantState::Active, repeat).await?;
    Ok(tenant.map(|tenant| v1::ResumeTenantResponse { tenant: Some(wire::tenant(tenant)) }))
}

async fn list_users(call: &mut Call, request: v1::ListUsersRequest) -> Answer<v1::ListUsersResponse> {
    let tenant = wire::tenant_id(&request.tenant_id)?;
    let listed = tenants::list_users(call, tenant, wire::paging(request)).await?;
    Ok(listed.map(|listed| v1::ListUsersResponse {
        users: listed.items.into_iter().map(wire::user).collect(),
        next_page_token: listed.next_page_token,
    }))
}

async fn delete_user(call: &mut Call, request: v1::DeleteUserRequest) -> Answer<v1::DeleteUserResponse> {
    let tenant = wire::tenant_id(&request.tenant_id)?;
    let user = wire::user_id(&request.user_id)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let deleted = tenants::delete_user(call, tenant, user, request.revoke, repeat).await?;
    Ok(deleted.map(wire::deleted_user))
}
