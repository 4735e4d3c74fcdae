//! The RPC of `AdminService` that asks the policies in use about a call that might be made.

use credvault_operations::{Call, tenants};

use super::frame::Answer;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn explain_policy(
    call: &mut Call,
    request: v1::ExplainPolicyRequest,
) -> Answer<v1::ExplainPolicyResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let connection = wire::optional_connection_id(&request.connection_id)?;
    let question = wire::policy_question(&request);
    let explained = tenants::explain_policy(call, tenant, connection, question).await?;
    Ok(explained.map(|explained| wire::explained_policy(&explained.question, &explained.explanation)))
}
