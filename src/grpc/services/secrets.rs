//! The part of `AdminService` about where secrets are kept.

use std::sync::Arc;

use credvault_domain::{TenantId, Violations};
use credvault_operations::tenants::{self, MoveSecrets};
use credvault_operations::{Call, Context};
use credvault_store::RotationKind;
use futures::StreamExt as _;
use tonic::{Request, Response, Status};

use super::frame::{Answer, Responses, serve, stream};
use super::keys::rest;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn move_secrets(
    context: &Arc<Context>,
    request: Request<v1::MoveSecretsRequest>,
) -> Result<Response<Responses<v1::MoveSecretsResponse>>, Status> {
    let tenant = wire::optional_tenant_id(&request.get_ref().tenant_id).ok().flatten();
    let response = |progress| v1::MoveSecretsResponse { progress: Some(progress) };
    let first = serve(context, request, |call, message| Box::pin(begin_move(call, message))).await?;
    let tenant = tenant.unwrap_or_else(TenantId::platform);
    let rest = rest(context, tenant, RotationKind::Secrets, first.get_ref().progress.as_ref());
    Ok(stream(first, rest.map(move |progress| progress.map(response))))
}

async fn begin_move(call: &mut Call, request: v1::MoveSecretsRequest) -> Answer<v1::MoveSecretsResponse> {
    let mut violations = Violations::default();
    let tenant = violations.collect(wire::optional_tenant_id(&request.tenant_id));
    let rate = violations.collect(wire::records_per_second(request.records_per_second));
    let given = Some(request.store.as_str()).filter(|store| !store.is_empty());
    let store = violations.collect(given.map(|store| wire::secret_store("store", store)).transpose());
    let (Some(tenant), Some(records_per_second), Some(store)) = (tenant, rate, store) else {
        return Err(violations.into());
    };
    let repeat = wire::repeat(&request.request_id, &request);
    let asked = MoveSecrets { tenant, store, watch: request.watch, records_per_second };
    let now = call.now();
    let begun = tenants::move_secrets(call, asked, repeat).await?;
    Ok(begun.map(|rotation| v1::MoveSecretsResponse { progress: Some(wire::rotation(rotation, now)) }))
}

pub(super) async fn get_secret_places(
    call: &mut Call,
    request: v1::GetSecretPlacesRequest,
) -> Answer<v1::GetSecretPlacesResponse> {
    let now = call.now();
    let places = tenants::secret_places(call, wire::optional_tenant_id(&request.tenant_id)?).await?;
    Ok(places.map(|places| wire::secret_places(places, now)))
}

pub(super) async fn check_secret_store(
    call: &mut Call,
    request: v1::CheckSecretStoreRequest,
) -> Answer<v1::CheckSecretStoreResponse> {
    let store = wire::secret_store("store", &request.store)?;
    let position = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
    let check = tenants::check_secret_store(call, &store, position, request.repair).await?;
    Ok(check.map(wire::store_check))
}

pub(super) async fn write_off_secret_store(
    call: &mut Call,
    request: v1::WriteOffSecretStoreRequest,
) -> Answer<v1::WriteOffSecretStoreResponse> {
    let store = wire::secret_store("store", &request.store)?;
    let given_up = tenants::write_off_secret_store(call, &store, request.confirm).await?;
    let written_off = |given_up| i64::try_from(given_up).unwrap_or(i64::MAX);
    Ok(given_up.map(|given_up| v1::WriteOffSecretStoreResponse { written_off: written_off(given_up) }))
}

pub(super) async fn own_secret_stores(
    call: &mut Call,
    _: v1::OwnSecretStoresRequest,
) -> Answer<v1::OwnSecretStoresResponse> {
    let owned = tenants::own_secret_stores(call).await?;
    Ok(owned.map(|was_restored| v1::OwnSecretStoresResponse { was_restored }))
}
