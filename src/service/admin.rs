//! `AdminService`: tenants, users, keys, apps, events. The only service whose requests name a tenant.

use std::sync::Arc;

use credvault_domain::{Owner, TenantId, TenantScope, TenantState, Violations};
use credvault_identity::Facts;
use credvault_store::Recorded;

use super::events::{
    delete_event_endpoint, list_event_deliveries, list_event_endpoints, put_event_endpoint,
    retry_event_delivery, test_event_endpoint,
};
use super::rpcs;
use crate::call::Call;
use crate::proto::v1;
use crate::vault::Vault;
use crate::wire;
use credvault_operations::Refusal;

pub(crate) struct Service(pub(crate) Arc<Vault>);

rpcs! {
    Service, v1::admin_service_server::AdminService,
    create_tenant: CreateTenantRequest -> CreateTenantResponse,
    get_tenant: GetTenantRequest -> GetTenantResponse,
    list_tenants: ListTenantsRequest -> ListTenantsResponse,
    suspend_tenant: SuspendTenantRequest -> SuspendTenantResponse,
    resume_tenant: ResumeTenantRequest -> ResumeTenantResponse,
    list_users: ListUsersRequest -> ListUsersResponse,
    delete_user: DeleteUserRequest -> DeleteUserResponse,
    get_key_status: GetKeyStatusRequest -> GetKeyStatusResponse,
    put_o_auth_app: PutOAuthAppRequest -> PutOAuthAppResponse,
    list_o_auth_apps: ListOAuthAppsRequest -> ListOAuthAppsResponse,
    delete_o_auth_app: DeleteOAuthAppRequest -> DeleteOAuthAppResponse,
    put_event_endpoint: PutEventEndpointRequest -> PutEventEndpointResponse,
    list_event_endpoints: ListEventEndpointsRequest -> ListEventEndpointsResponse,
    delete_event_endpoint: DeleteEventEndpointRequest -> DeleteEventEndpointResponse,
    test_event_endpoint: TestEventEndpointRequest -> TestEventEndpointResponse,
    list_event_deliveries: ListEventDeliveriesRequest -> ListEventDeliveriesResponse,
    retry_event_delivery: RetryEventDeliveryRequest -> RetryEventDeliveryResponse,
}

/// The scope of the tenant that an administrator names, if policy lets the caller administer it.
pub(super) fn administer(call: &Call, tenant: Option<TenantId>) -> Result<TenantScope, Refusal> {
    administer_of(call, tenant, Facts::default())
}

/// The same where the request names more than the tenant.
fn administer_of(call: &Call, tenant: Option<TenantId>, facts: Facts<'_>) -> Result<TenantScope, Refusal> {
    // Before policy is asked, so that a refusal is on record with the tenant that it was about.
    tenant.iter().for_each(|tenant| call.about_tenant(tenant));
    let (scope, permit) = call.vault.identity.administer(&call.caller, call.action, tenant, facts)?;
    call.vault.count(&call.caller.service, scope.tenant(), 1)?;
    call.about_tenant(scope.tenant());
    call.about_policies(permit.policies);
    Ok(scope)
}

async fn create_tenant(
    call: Arc<Call>,
    request: v1::CreateTenantRequest,
) -> Result<Recorded<v1::CreateTenantResponse>, Refusal> {
    let mut violations = Violations::default();
    let id = wire::tenant_id(&request.tenant_id).map_err(|wrong| violations.extend(wrong)).ok();
    if let Err(wrong) = wire::display_name(&request.display_name) {
        violations.extend(wrong);
    }
    violations.into_result()?;
    let scope = administer(&call, id)?;
    let write = call.write(&request.request_id, &request)?;
    let created = call.vault.store.tenants().create(&scope, &request.display_name, &write).await?;
    Ok(created.map(|created| v1::CreateTenantResponse { tenant: Some(wire::tenant(created)) }))
}

async fn get_tenant(
    call: Arc<Call>,
    request: v1::GetTenantRequest,
) -> Result<Recorded<v1::GetTenantResponse>, Refusal> {
    let scope = administer(&call, Some(wire::tenant_id(&request.tenant_id)?))?;
    let tenant = call.vault.store.tenants().get(&scope).await?;
    call.recorded(v1::GetTenantResponse { tenant: Some(wire::tenant(tenant)) }).await
}

async fn list_tenants(
    call: Arc<Call>,
    request: v1::ListTenantsRequest,
) -> Result<Recorded<v1::ListTenantsResponse>, Refusal> {
    let state = wire::tenant_state(request.state)?;
    let page = call.page(None, &request).await?;
    let platform = administer(&call, None)?;
    let listed = call.vault.store.tenants().list(&platform, state, &page).await?;
    let shown = listed.items.into_iter().filter(|tenant| call.shows_tenant(&tenant.id));
    let tenants = shown.map(wire::tenant).collect();
    call.recorded(v1::ListTenantsResponse { tenants, next_page_token: listed.next_page_token }).await
}

async fn suspend_tenant(
    call: Arc<Call>,
    request: v1::SuspendTenantRequest,
) -> Result<Recorded<v1::SuspendTenantResponse>, Refusal> {
    let scope = administer(&call, Some(wire::tenant_id(&request.tenant_id)?))?;
    let write = call.write(&request.request_id, &request)?;
    let tenant = call.vault.store.tenants().set_state(&scope, TenantState::Suspended, &write).await?;
    Ok(tenant.map(|tenant| v1::SuspendTenantResponse { tenant: Some(wire::tenant(tenant)) }))
}

async fn resume_tenant(
    call: Arc<Call>,
    request: v1::ResumeTenantRequest,
) -> Result<Recorded<v1::ResumeTenantResponse>, Refusal> {
    let scope = administer(&call, Some(wire::tenant_id(&request.tenant_id)?))?;
    let write = call.write(&request.request_id, &request)?;
    let tenant = call.vault.store.tenants().set_state(&scope, TenantState::Active, &write).await?;
    Ok(tenant.map(|tenant| v1::ResumeTenantResponse { tenant: Some(wire::tenant(tenant)) }))
}

async fn list_users(
    call: Arc<Call>,
    request: v1::ListUsersRequest,
) -> Result<Recorded<v1::ListUsersResponse>, Refusal> {
    let scope = administer(&call, Some(wire::tenant_id(&request.tenant_id)?))?;
    let page = call.page(None, &request).await?;
    let listed = call.vault.store.users().list(&scope, &page).await?;
    let mut shown = call.shown(&scope);
    let users =
        listed.items.into_iter().filter(|user| shown.shows(None, Some(&Owner::User(user.id.clone()))));
    let users = users.map(wire::user).collect();
    call.recorded(v1::ListUsersResponse { users, next_page_token: listed.next_page_token }).await
}

async fn delete_user(
    call: Arc<Call>,
    request: v1::DeleteUserRequest,
) -> Result<Recorded<v1::DeleteUserResponse>, Refusal> {
    let tenant = wire::tenant_id(&request.tenant_id)?;
    let user = wire::user_id(&request.user_id)?;
    call.about_user(&user);
    let owner = Owner::User(user.clone());
    let scope = administer_of(&call, Some(tenant), Facts { owner: Some(&owner), ..Facts::default() })?;
    let write = call.write(&request.request_id, &request)?;
    let removed = call.vault.store.users().delete(&scope, &user, &write, call.patience().into_std()).await?;
    Ok(removed.map(|removed_connections| v1::DeleteUserResponse { removed_connections }))
}

async fn get_key_status(
    call: Arc<Call>,
    request: v1::GetKeyStatusRequest,
) -> Result<Recorded<v1::GetKeyStatusResponse>, Refusal> {
    let scope = administer(&call, wire::optional_tenant_id(&request.tenant_id)?)?;
    let status = call.vault.store.keys().status(&scope).await?;
    call.recorded(wire::key_status(status)).await
}

async fn put_o_auth_app(
    call: Arc<Call>,
    mut request: v1::PutOAuthAppRequest,
) -> Result<Recorded<v1::PutOAuthAppResponse>, Refusal> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let provider = wire::provider_id(&request.provider)?;
    call.about_provider(&provider);
    let scope = administer_of(&call, tenant, Facts::of_provider(&provider))?;
    let write = call.write(&request.request_id, &request)?;
    if request.redirect_uri.is_empty() {
        request.redirect_uri = call.vault.broker.callback_url(&provider).unwrap_or_default();
    }
    let provider = call.vault.catalog.get(&provider).ok_or(Refusal::ProviderUnknown)?;
    let new = wire::new_app(provider, &mut request)?;
    let stored = call.vault.store.apps().put(&scope, &new, &write).await?;
    // What waited for it goes on.
    call.vault.broker.refresher().app_stored(scope.tenant().clone(), new.provider);
    Ok(stored.map(|app| v1::PutOAuthAppResponse { app: Some(wire::oauth_app(app)) }))
}

async fn list_o_auth_apps(
    call: Arc<Call>,
    request: v1::ListOAuthAppsRequest,
) -> Result<Recorded<v1::ListOAuthAppsResponse>, Refusal> {
    let scope = administer(&call, wire::optional_tenant_id(&request.tenant_id)?)?;
    let page = call.page(None, &request).await?;
    let listed = call.vault.store.apps().list(&scope, &page).await?;
    let mut shown = call.shown(&scope);
    let apps = listed.items.into_iter().filter(|app| shown.shows(Some(&app.provider), None));
    let apps = apps.map(wire::oauth_app).collect();
    call.recorded(v1::ListOAuthAppsResponse { apps, next_page_token: listed.next_page_token }).await
}

async fn delete_o_auth_app(
    call: Arc<Call>,
    request: v1::DeleteOAuthAppRequest,
) -> Result<Recorded<v1::DeleteOAuthAppResponse>, Refusal> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let provider = wire::provider_id(&request.provider)?;
    call.about_provider(&provider);
    let scope = administer_of(&call, tenant, Facts::of_provider(&provider))?;
    let write = call.write(&request.request_id, &request)?;
    let removed = call.vault.store.apps().delete(&scope, &provider, &write).await?;
    Ok(removed.map(|_| v1::DeleteOAuthAppResponse {}))
}
