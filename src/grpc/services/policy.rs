//! The RPCs of `AdminService` that ask the policies in use about calls that might be made: about one, and about all that might
//! use a connection.

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

pub(super) async fn get_access_report(
    call: &mut Call,
    request: v1::GetAccessReportRequest,
) -> Answer<v1::GetAccessReportResponse> {
    let tenant = wire::optional_tenant_id(&request.tenant_id)?;
    let question = wire::access_question(&request);
    let report = tenants::access_report(call, tenant, question, wire::paging(request)).await?;
    Ok(report.map(wire::access_report))
}
