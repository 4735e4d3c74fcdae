//! The RPCs of `AdminService` about the end of a tenant, and the key that the vault signs statements with.

use credvault_operations::{Call, tenants};

use super::frame::Answer;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn erase_tenant(
    call: &mut Call,
    request: v1::EraseTenantRequest,
) -> Answer<v1::EraseTenantResponse> {
    let tenant = wire::tenant_id(&request.tenant_id)?;
    let token = wire::confirmation_token(request.confirmation_token);
    Ok(tenants::erase(call, tenant, token).await?.map(wire::erase_step))
}

pub(super) async fn get_erasure(
    call: &mut Call,
    request: v1::GetErasureRequest,
) -> Answer<v1::GetErasureResponse> {
    let erasure = tenants::erasure(call, wire::tenant_id(&request.tenant_id)?).await?;
    Ok(erasure.map(|erasure| v1::GetErasureResponse { erasure: Some(wire::erasure(erasure)) }))
}

pub(super) async fn list_erasures(
    call: &mut Call,
    request: v1::ListErasuresRequest,
) -> Answer<v1::ListErasuresResponse> {
    let listed = tenants::list_erasures(call, wire::paging(request)).await?;
    Ok(listed.map(|listed| v1::ListErasuresResponse {
        erasures: listed.items.into_iter().map(wire::erasure).collect(),
        next_page_token: listed.next_page_token,
    }))
}

pub(super) async fn get_signing_key(
    call: &mut Call,
    _: v1::GetSigningKeyRequest,
) -> Answer<v1::GetSigningKeyResponse> {
    Ok(tenants::signing_keys(call).await?.map(wire::signing_keys))
}

pub(super) async fn rotate_signing_key(
    call: &mut Call,
    request: v1::RotateSigningKeyRequest,
) -> Answer<v1::RotateSigningKeyResponse> {
    let repeat = wire::repeat(&request.request_id, &request);
    let made = tenants::rotate_signing_key(call, repeat).await?;
    Ok(made.map(|key| v1::RotateSigningKeyResponse { key: Some(wire::signing_key(key)) }))
}
