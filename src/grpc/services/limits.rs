//! `AdminService`, the part about limits and source rules of tenants.

use credvault_operations::{Call, tenants};

use super::frame::Answer;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn get_tenant_limits(
    call: &mut Call,
    request: v1::GetTenantLimitsRequest,
) -> Answer<v1::GetTenantLimitsResponse> {
    let found = tenants::limits(call, wire::tenant_id(&request.tenant_id)?).await?;
    Ok(found.map(|states| {
        let (limits, update_time) = wire::tenant_limits(states);
        v1::GetTenantLimitsResponse { limits, update_time }
    }))
}

pub(super) async fn set_tenant_limits(
    call: &mut Call,
    request: v1::SetTenantLimitsRequest,
) -> Answer<v1::SetTenantLimitsResponse> {
    let tenant = wire::tenant_id(&request.tenant_id)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let set = tenants::set_limits(call, tenant, wire::limit_changes(request.changes), repeat).await?;
    Ok(set.map(|states| {
        let (limits, update_time) = wire::tenant_limits(states);
        v1::SetTenantLimitsResponse { limits, update_time }
    }))
}

pub(super) async fn get_source_rules(
    call: &mut Call,
    request: v1::GetSourceRulesRequest,
) -> Answer<v1::GetSourceRulesResponse> {
    let found = tenants::sources(call, wire::tenant_id(&request.tenant_id)?).await?;
    Ok(found.map(|sources| {
        let (rules, update_time) = wire::sources(sources);
        v1::GetSourceRulesResponse { rules, update_time }
    }))
}

pub(super) async fn set_source_rules(
    call: &mut Call,
    request: v1::SetSourceRulesRequest,
) -> Answer<v1::SetSourceRulesResponse> {
    let tenant = wire::tenant_id(&request.tenant_id)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let set = tenants::set_sources(call, tenant, wire::source_rules(request.rules), repeat).await?;
    Ok(set.map(|sources| {
        let (rules, update_time) = wire::sources(sources);
        v1::SetSourceRulesResponse { rules, update_time }
    }))
}
