//! The RPCs of `ConnectionService` about usage.

use credvault_operations::{Call, usage};

use super::frame::Answer;
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn report_usage(
    call: &mut Call,
    request: v1::ReportUsageRequest,
) -> Answer<v1::ReportUsageResponse> {
    Ok(usage::report(call, wire::usage_report(request)).await?.map(wire::usage_outcome))
}

pub(super) async fn get_usage(call: &mut Call, request: v1::GetUsageRequest) -> Answer<v1::GetUsageResponse> {
    let question = wire::usage_question(&request);
    Ok(usage::get(call, question, wire::paging(request)).await?.map(wire::usage))
}
