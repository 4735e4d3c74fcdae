//! `VaultService`: credentials in and out, and the webhooks that they vouch for.

use std::sync::Arc;

use credvault_operations::{Call, Context, credentials, webhooks};

use super::frame::{Answer, rpcs};
use crate::grpc::wire;
use credvault_proto::v1;

pub(crate) struct Service(pub(crate) Arc<Context>);

rpcs! {
    Service, v1::vault_service_server::VaultService,
    put_credential: PutCredentialRequest -> PutCredentialResponse,
    fetch_credential: FetchCredentialRequest -> FetchCredentialResponse,
    batch_fetch_credentials: BatchFetchCredentialsRequest -> BatchFetchCredentialsResponse,
    list_credential_versions: ListCredentialVersionsRequest -> ListCredentialVersionsResponse,
    rollback_credential: RollbackCredentialRequest -> RollbackCredentialResponse,
    destroy_credential_version: DestroyCredentialVersionRequest -> DestroyCredentialVersionResponse,
    verify_webhook: VerifyWebhookRequest -> VerifyWebhookResponse,
}

async fn put_credential(
    call: &mut Call,
    request: v1::PutCredentialRequest,
) -> Answer<v1::PutCredentialResponse> {
    let stored = credentials::put(call, wire::put_credential(request)?).await?;
    Ok(stored.map(|version| v1::PutCredentialResponse { version: Some(wire::credential_version(version)) }))
}

async fn fetch_credential(
    call: &mut Call,
    request: v1::FetchCredentialRequest,
) -> Answer<v1::FetchCredentialResponse> {
    let fetched = credentials::fetch(call, wire::fetch(request)?).await?;
    Ok(fetched.map(|found| v1::FetchCredentialResponse { credential: Some(wire::credential(found)) }))
}

async fn batch_fetch_credentials(
    call: &mut Call,
    request: v1::BatchFetchCredentialsRequest,
) -> Answer<v1::BatchFetchCredentialsResponse> {
    let fetches = request.requests.into_iter().map(wire::fetch).collect();
    let trace = call.trace().to_string();
    let fetched = credentials::fetch_batch(call, fetches).await?;
    Ok(fetched.map(|outcomes| v1::BatchFetchCredentialsResponse {
        results: outcomes.into_iter().map(|outcome| wire::fetch_result(outcome, &trace)).collect(),
    }))
}

async fn list_credential_versions(
    call: &mut Call,
    request: v1::ListCredentialVersionsRequest,
) -> Answer<v1::ListCredentialVersionsResponse> {
    let id = wire::connection_id(&request.connection_id)?;
    let listed = credentials::list(call, id, wire::paging(request)).await?;
    Ok(listed.map(|listed| v1::ListCredentialVersionsResponse {
        versions: listed.items.into_iter().map(wire::credential_version).collect(),
        next_page_token: listed.next_page_token,
    }))
}

async fn rollback_credential(
    call: &mut Call,
    request: v1::RollbackCredentialRequest,
) -> Answer<v1::RollbackCredentialResponse> {
    let id = wire::connection_id(&request.connection_id)?;
    let to = wire::version(request.version)?;
    let expected = wire::expected_version(request.expected_version)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let stored = credentials::rollback(call, id, to, expected, repeat).await?;
    Ok(stored
        .map(|version| v1::RollbackCredentialResponse { version: Some(wire::credential_version(version)) }))
}

async fn destroy_credential_version(
    call: &mut Call,
    request: v1::DestroyCredentialVersionRequest,
) -> Answer<v1::DestroyCredentialVersionResponse> {
    let id = wire::connection_id(&request.connection_id)?;
    let version = wire::version(request.version)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let destroyed = credentials::destroy(call, id, version, repeat).await?;
    Ok(destroyed.map(|version| v1::DestroyCredentialVersionResponse {
        version: Some(wire::credential_version(version)),
    }))
}

async fn verify_webhook(
    call: &mut Call,
    request: v1::VerifyWebhookRequest,
) -> Answer<v1::VerifyWebhookResponse> {
    let verified = webhooks::verify(call, wire::received(request)?).await?;
    Ok(verified.map(wire::webhook_verdict))
}
