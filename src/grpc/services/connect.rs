//! `ConnectionService`, the part about connect pages.

use credvault_operations::{Call, connect};

use super::frame::Answer;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn create_connect_session(
    call: &mut Call,
    request: v1::CreateConnectSessionRequest,
) -> Answer<v1::CreateConnectSessionResponse> {
    let created = connect::create(call, wire::create_connect_session(request)).await?;
    Ok(created.map(wire::created_connect_session))
}
