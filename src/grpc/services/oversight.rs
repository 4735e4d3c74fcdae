//! The RPCs of `AdminService` about the connections of a tenant, of all its users.

use credvault_operations::{Call, tenants};

use super::frame::Answer;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn list_tenant_connections(
    call: &mut Call,
    request: v1::ListTenantConnectionsRequest,
) -> Answer<v1::ListTenantConnectionsResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let filter = wire::connection_selection(request.selection.clone(), request.show_deleted)?;
    let counted = tenants::list_connections(call, tenant, filter, wire::paging(request)).await?;
    Ok(counted.map(|counted| v1::ListTenantConnectionsResponse {
        connections: counted.listed.items.into_iter().map(wire::described).collect(),
        next_page_token: counted.listed.next_page_token,
        total: counted.total.and_then(|total| total.try_into().ok()),
    }))
}

pub(super) async fn change_tenant_connections(
    call: &mut Call,
    request: v1::ChangeTenantConnectionsRequest,
) -> Answer<v1::ChangeTenantConnectionsResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let change = wire::bulk_change(&request)?;
    let trace = call.trace().to_string();
    let changed = tenants::change_connections(call, tenant, change, wire::paging(request)).await?;
    Ok(changed.map(|changed| v1::ChangeTenantConnectionsResponse {
        changes: changed.changes.into_iter().map(|change| wire::changed_connection(change, &trace)).collect(),
        next_page_token: changed.next_page_token,
        total: changed.total.and_then(|total| total.try_into().ok()),
    }))
}

pub(super) async fn count_connections(
    call: &mut Call,
    request: v1::CountConnectionsRequest,
) -> Answer<v1::CountConnectionsResponse> {
    let counts = tenants::count_connections(call, wire::counted_tenants(&request)).await?;
    Ok(counts.map(wire::connection_counts))
}

pub(super) async fn get_success_rates(
    call: &mut Call,
    request: v1::GetSuccessRatesRequest,
) -> Answer<v1::GetSuccessRatesResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let rates = tenants::success_rates(call, tenant, wire::outcome_filter(&request)).await?;
    Ok(rates
        .map(|rates| v1::GetSuccessRatesResponse { rates: rates.iter().map(wire::provider_rates).collect() }))
}
