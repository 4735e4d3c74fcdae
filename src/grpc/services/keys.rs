//! The part of `AdminService` about keys.

use std::sync::Arc;

use credvault_domain::{TenantId, Violations};
use credvault_operations::tenants::{self, RotateRootKey, RotateTenantKey};
use credvault_operations::{Call, Context};
use credvault_store::RotationKind;
use futures::stream::iter;
use futures::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::frame::{Answer, Responses, serve, stream};
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn get_key_status(
    call: &mut Call,
    request: v1::GetKeyStatusRequest,
) -> Answer<v1::GetKeyStatusResponse> {
    let now = call.now();
    let status = tenants::key_status(call, wire::optional_tenant_id(&request.tenant_id)?).await?;
    Ok(status.map(|status| wire::key_status(status, now)))
}

pub(super) async fn rotate_audit_signer(
    call: &mut Call,
    request: v1::RotateAuditSignerRequest,
) -> Answer<v1::RotateAuditSignerResponse> {
    let repeat = wire::repeat(&request.request_id, &request);
    let made = tenants::rotate_audit_signer(call, request.retire_at_once, repeat).await?;
    Ok(made.map(|signer| v1::RotateAuditSignerResponse { signer: Some(wire::audit_signer(signer)) }))
}

pub(super) async fn rotate_tenant_key(
    context: &Arc<Context>,
    request: Request<v1::RotateTenantKeyRequest>,
) -> Result<Response<Responses<v1::RotateTenantKeyResponse>>, Status> {
    let tenant = wire::optional_tenant_id(&request.get_ref().tenant_id).ok().flatten();
    let response = |progress| v1::RotateTenantKeyResponse { progress: Some(progress) };
    let first = serve(context, request, |call, message| Box::pin(begin_tenant(call, message))).await?;
    let tenant = tenant.unwrap_or_else(TenantId::platform);
    let rest = rest(context, tenant, RotationKind::Tenant, first.get_ref().progress.as_ref());
    Ok(stream(first, rest.map(move |progress| progress.map(response))))
}

async fn begin_tenant(
    call: &mut Call,
    request: v1::RotateTenantKeyRequest,
) -> Answer<v1::RotateTenantKeyResponse> {
    let mut violations = Violations::default();
    let tenant = violations.collect(wire::optional_tenant_id(&request.tenant_id));
    let rate = violations.collect(wire::records_per_second(request.records_per_second));
    let (Some(tenant), Some(records_per_second)) = (tenant, rate) else { return Err(violations.into()) };
    let repeat = wire::repeat(&request.request_id, &request);
    let v1::RotateTenantKeyRequest { watch, retire_at_once, .. } = request;
    let asked = RotateTenantKey { tenant, watch, records_per_second, retire_at_once };
    let now = call.now();
    let begun = tenants::rotate_tenant_key(call, asked, repeat).await?;
    Ok(begun.map(|rotation| v1::RotateTenantKeyResponse { progress: Some(wire::rotation(rotation, now)) }))
}

pub(super) async fn rotate_root_key(
    context: &Arc<Context>,
    request: Request<v1::RotateRootKeyRequest>,
) -> Result<Response<Responses<v1::RotateRootKeyResponse>>, Status> {
    let response = |progress| v1::RotateRootKeyResponse { progress: Some(progress) };
    let first = serve(context, request, |call, message| Box::pin(begin_root(call, message))).await?;
    let rest = rest(context, TenantId::platform(), RotationKind::Root, first.get_ref().progress.as_ref());
    Ok(stream(first, rest.map(move |progress| progress.map(response))))
}

async fn begin_root(call: &mut Call, request: v1::RotateRootKeyRequest) -> Answer<v1::RotateRootKeyResponse> {
    let mut violations = Violations::default();
    let target = violations.collect(wire::root_key_id(&request.root_key_id));
    let rate = violations.collect(wire::records_per_second(request.records_per_second));
    let (Some(target), Some(records_per_second)) = (target, rate) else { return Err(violations.into()) };
    let repeat = wire::repeat(&request.request_id, &request);
    let v1::RotateRootKeyRequest { watch, new_version, .. } = request;
    let now = call.now();
    let asked = RotateRootKey { target, new_version, watch, records_per_second };
    let begun = tenants::rotate_root_key(call, asked, repeat).await?;
    Ok(begun.map(|rotation| v1::RotateRootKeyResponse { progress: Some(wire::rotation(rotation, now)) }))
}

pub(super) async fn destroy_older_root_key_versions(
    call: &mut Call,
    request: v1::DestroyOlderRootKeyVersionsRequest,
) -> Answer<v1::DestroyOlderRootKeyVersionsResponse> {
    let found = tenants::destroy_older_versions(call, request.confirm).await?;
    Ok(found.map(wire::older_versions))
}

/// The progress of a rotation from the second look on; nothing if it has ended by the first.
pub(super) fn rest(
    context: &Arc<Context>,
    tenant: TenantId,
    kind: RotationKind,
    first: Option<&v1::RotationProgress>,
) -> impl Stream<Item = Result<v1::RotationProgress, Status>> + Send + use<> {
    let running = first.filter(|first| first.running).map(|first| first.target);
    let context = Arc::clone(context);
    let looks = running.map(|target| tenants::progress(&context, tenant, kind, target));
    iter(looks).flatten().map(move |looked| match looked {
        Ok(rotation) => Ok(wire::rotation(rotation, context.now())),
        Err(refusal) => Err(wire::status(&refusal, "")),
    })
}
