//! `ConnectionService`: the catalog and the connections. Consents, configs of services and requirements are in files of
//! their own.

use std::sync::Arc;

use credvault_operations::connections::{Deleted, ImportedBatch, Purged, Stopped};
use credvault_operations::{Call, Context, connections, providers, rotations, tokens};
use prost::Message as _;

use super::connect::create_connect_session;
use super::consents::{begin_authorization, complete_authorization};
use super::frame::{Answer, rpcs};
use super::requirements::check_requirements;
use super::service_configs::{delete_service_config, list_service_configs, set_service_config};
use super::usage::{get_usage, report_usage};
use crate::grpc::wire;
use credvault_proto::v1;

pub(crate) struct Service(pub(crate) Arc<Context>);

rpcs! {
    Service, v1::connection_service_server::ConnectionService,
    list_providers: ListProvidersRequest -> ListProvidersResponse,
    get_provider: GetProviderRequest -> GetProviderResponse,
    create_connection: CreateConnectionRequest -> CreateConnectionResponse,
    import_connections: ImportConnectionsRequest -> ImportConnectionsResponse,
    get_connection: GetConnectionRequest -> GetConnectionResponse,
    list_connections: ListConnectionsRequest -> ListConnectionsResponse,
    update_connection: UpdateConnectionRequest -> UpdateConnectionResponse,
    delete_connection: DeleteConnectionRequest -> DeleteConnectionResponse,
    undelete_connection: UndeleteConnectionRequest -> UndeleteConnectionResponse,
    purge_connection: PurgeConnectionRequest -> PurgeConnectionResponse,
    set_default_connection: SetDefaultConnectionRequest -> SetDefaultConnectionResponse,
    begin_authorization: BeginAuthorizationRequest -> BeginAuthorizationResponse,
    complete_authorization: CompleteAuthorizationRequest -> CompleteAuthorizationResponse,
    create_connect_session: CreateConnectSessionRequest -> CreateConnectSessionResponse,
    refresh_connection: RefreshConnectionRequest -> RefreshConnectionResponse,
    test_connection: TestConnectionRequest -> TestConnectionResponse,
    rotate_credential: RotateCredentialRequest -> RotateCredentialResponse,
    disconnect_connection: DisconnectConnectionRequest -> DisconnectConnectionResponse,
    set_service_config: SetServiceConfigRequest -> SetServiceConfigResponse,
    list_service_configs: ListServiceConfigsRequest -> ListServiceConfigsResponse,
    delete_service_config: DeleteServiceConfigRequest -> DeleteServiceConfigResponse,
    check_requirements: CheckRequirementsRequest -> CheckRequirementsResponse,
    report_usage: ReportUsageRequest -> ReportUsageResponse,
    get_usage: GetUsageRequest -> GetUsageResponse,
    report_sync: ReportSyncRequest -> ReportSyncResponse,
}

async fn list_providers(
    call: &mut Call,
    request: v1::ListProvidersRequest,
) -> Answer<v1::ListProvidersResponse> {
    let listed = providers::list(call, wire::paging(request), |provider, incident| {
        let provider = wire::provider(provider, incident);
        let bytes = provider.encoded_len();
        (provider, bytes)
    });
    Ok(listed.await?.map(|listed| v1::ListProvidersResponse {
        providers: listed.items,
        next_page_token: listed.next_page_token,
    }))
}

async fn get_provider(call: &mut Call, request: v1::GetProviderRequest) -> Answer<v1::GetProviderResponse> {
    let provider = providers::get(call, wire::provider_id(&request.provider)?, wire::provider).await?;
    Ok(provider.map(|provider| v1::GetProviderResponse { provider: Some(provider) }))
}

async fn create_connection(
    call: &mut Call,
    request: v1::CreateConnectionRequest,
) -> Answer<v1::CreateConnectionResponse> {
    let created = connections::create(call, wire::create_connection(request)?).await?;
    Ok(created.map(|created| v1::CreateConnectionResponse { connection: Some(wire::connection(created)) }))
}

async fn import_connections(
    call: &mut Call,
    request: v1::ImportConnectionsRequest,
) -> Answer<v1::ImportConnectionsResponse> {
    let (sources, import) = wire::import(request)?;
    let trace = call.trace().to_string();
    let imported = connections::import(call, import).await?;
    Ok(imported.map(|ImportedBatch { outcomes, without_app }| {
        let results = sources.into_iter().zip(outcomes);
        let result = |(source, outcome)| wire::import_result(source, outcome, &trace);
        v1::ImportConnectionsResponse {
            results: results.map(result).collect(),
            providers_without_app: without_app.iter().map(|provider| provider.as_str().to_owned()).collect(),
        }
    }))
}

async fn get_connection(
    call: &mut Call,
    request: v1::GetConnectionRequest,
) -> Answer<v1::GetConnectionResponse> {
    let found = connections::get(call, wire::connection_id(&request.connection_id)?).await?;
    Ok(found.map(|found| v1::GetConnectionResponse { connection: Some(wire::described(found)) }))
}

async fn list_connections(
    call: &mut Call,
    request: v1::ListConnectionsRequest,
) -> Answer<v1::ListConnectionsResponse> {
    let filter = wire::connection_filter(&request)?;
    let listed = connections::list(call, filter, wire::paging(request)).await?;
    Ok(listed.map(|listed| v1::ListConnectionsResponse {
        connections: listed.items.into_iter().map(wire::described).collect(),
        next_page_token: listed.next_page_token,
    }))
}

async fn update_connection(
    call: &mut Call,
    request: v1::UpdateConnectionRequest,
) -> Answer<v1::UpdateConnectionResponse> {
    let updated = connections::update(call, wire::update_connection(request)?).await?;
    Ok(updated.map(|Stopped { connection, affected }| {
        let (affected_services, hidden_affected_services) = wire::affected_services(affected);
        let connection = Some(wire::connection(connection));
        v1::UpdateConnectionResponse { connection, affected_services, hidden_affected_services }
    }))
}

/// Changes that take a connection, its etag and nothing else, and answer with the connection.
macro_rules! changes {
    ($($rpc:ident: $request:ident -> $response:ident by $operation:path,)*) => {$(
        async fn $rpc(call: &mut Call, request: v1::$request) -> Answer<v1::$response> {
            let id = wire::connection_id(&request.connection_id)?;
            let etag = wire::etag("etag", &request.etag)?;
            let repeat = wire::repeat(&request.request_id, &request);
            let changed = $operation(call, id, etag, repeat).await?;
            Ok(changed.map(|changed| v1::$response { connection: Some(wire::connection(changed)) }))
        }
    )*};
}

changes! {
    undelete_connection: UndeleteConnectionRequest -> UndeleteConnectionResponse by connections::undelete,
    set_default_connection: SetDefaultConnectionRequest -> SetDefaultConnectionResponse by connections::set_default,
}

async fn delete_connection(
    call: &mut Call,
    request: v1::DeleteConnectionRequest,
) -> Answer<v1::DeleteConnectionResponse> {
    let id = wire::connection_id(&request.connection_id)?;
    let etag = wire::etag("etag", &request.etag)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let deleted = connections::delete(call, id, etag, request.revoke, repeat).await?;
    Ok(deleted.map(|Deleted { connection, affected, grant }| {
        let (affected_services, hidden_affected_services) = wire::affected_services(affected);
        let (connection, grant) = (Some(wire::connection(connection)), Some(wire::grant_outcome(grant)));
        v1::DeleteConnectionResponse { connection, affected_services, hidden_affected_services, grant }
    }))
}

async fn disconnect_connection(
    call: &mut Call,
    request: v1::DisconnectConnectionRequest,
) -> Answer<v1::DisconnectConnectionResponse> {
    let id = wire::connection_id(&request.connection_id)?;
    let etag = wire::etag("etag", &request.etag)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let stopped = connections::disconnect(call, id, etag, repeat).await?;
    Ok(stopped.map(|Stopped { connection, affected }| {
        let (affected_services, hidden_affected_services) = wire::affected_services(affected);
        let connection = Some(wire::connection(connection));
        v1::DisconnectConnectionResponse { connection, affected_services, hidden_affected_services }
    }))
}

async fn purge_connection(
    call: &mut Call,
    request: v1::PurgeConnectionRequest,
) -> Answer<v1::PurgeConnectionResponse> {
    let id = wire::connection_id(&request.connection_id)?;
    let etag = wire::etag("etag", &request.etag)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let purged = connections::purge(call, id, etag, request.revoke, repeat).await?;
    Ok(purged.map(|Purged { grant, waits }| v1::PurgeConnectionResponse {
        grant: grant.map(wire::grant_outcome),
        waits_for_revocation: waits,
    }))
}

async fn report_sync(call: &mut Call, request: v1::ReportSyncRequest) -> Answer<v1::ReportSyncResponse> {
    let id = wire::connection_id(&request.connection_id)?;
    let repeat = wire::repeat(&request.request_id, &request);
    let reported = connections::report_sync(call, id, wire::sync_report(request), repeat).await?;
    Ok(reported.map(|state| v1::ReportSyncResponse { state: Some(wire::sync_state(state)) }))
}

async fn refresh_connection(
    call: &mut Call,
    request: v1::RefreshConnectionRequest,
) -> Answer<v1::RefreshConnectionResponse> {
    let refreshed = tokens::refresh(call, wire::connection_id(&request.connection_id)?).await?;
    Ok(refreshed
        .map(|refreshed| v1::RefreshConnectionResponse { connection: Some(wire::connection(refreshed)) }))
}

async fn rotate_credential(
    call: &mut Call,
    request: v1::RotateCredentialRequest,
) -> Answer<v1::RotateCredentialResponse> {
    Ok(rotations::rotate(call, wire::rotate_credential(&request)?).await?.map(wire::rotated))
}

async fn test_connection(
    call: &mut Call,
    request: v1::TestConnectionRequest,
) -> Answer<v1::TestConnectionResponse> {
    let tested = tokens::test(call, wire::connection_id(&request.connection_id)?).await?;
    Ok(tested.map(wire::tested_connection))
}
