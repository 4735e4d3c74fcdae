//! `ConnectionService`, the part about consents.

use credvault_operations::{Call, consents};

use super::frame::Answer;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn begin_authorization(
    call: &mut Call,
    request: v1::BeginAuthorizationRequest,
) -> Answer<v1::BeginAuthorizationResponse> {
    let begin = consents::Begin {
        connection: wire::connection_id(&request.connection_id)?,
        scopes: wire::scopes("scopes", request.scopes),
        session: wire::session(request.session),
        return_origin: request.return_origin,
        return_url: request.return_url,
    };
    Ok(consents::begin(call, begin).await?.map(wire::begun_consent))
}

pub(super) async fn complete_authorization(
    call: &mut Call,
    request: v1::CompleteAuthorizationRequest,
) -> Answer<v1::CompleteAuthorizationResponse> {
    let complete = consents::Complete {
        result: request.result,
        parameters: request.parameters,
        session: wire::session(request.session),
    };
    let connected = consents::complete(call, complete).await?;
    Ok(connected
        .map(|connected| v1::CompleteAuthorizationResponse { connection: Some(wire::connection(connected)) }))
}
