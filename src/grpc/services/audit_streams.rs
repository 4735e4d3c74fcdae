//! The streams of `AuditService`: the log as it grows, and exports of it.

use std::sync::Arc;

use credvault_operations::audit::{self, Exporting, Tail};
use credvault_operations::{Call, Context};
use futures::StreamExt as _;
use tonic::{Request, Response, Status};

use super::frame::{Answer, Responses, begin, stream};
use crate::grpc::wire;
use credvault_proto::v1;

pub(super) async fn tail_audit_events(
    context: &Arc<Context>,
    request: Request<v1::TailAuditEventsRequest>,
) -> Result<Response<Responses<v1::TailAuditEventsResponse>>, Status> {
    let (first, tail) = begin(context, request, |call, message| Box::pin(begin_tail(call, message))).await?;
    let trace = tail.trace().to_string();
    let rest = tail.parts().map(move |part| match part {
        Ok(part) => Ok(wire::tail_part(part)),
        Err(refusal) => Err(wire::status(&refusal, &trace)),
    });
    Ok(stream(first, rest))
}

async fn begin_tail(
    call: &mut Call,
    request: v1::TailAuditEventsRequest,
) -> Answer<(v1::TailAuditEventsResponse, Tail)> {
    let start = wire::tail_start(request.start_index)?;
    let begun = audit::tail(call, wire::audit_filter(request.filter), start).await?;
    Ok(begun.map(|(first, tail)| (wire::tail_part(first), tail)))
}

pub(super) async fn export_audit_events(
    context: &Arc<Context>,
    request: Request<v1::ExportAuditEventsRequest>,
) -> Result<Response<Responses<v1::ExportAuditEventsResponse>>, Status> {
    // What is not a format was refused before anything is rendered in one.
    let format = request.get_ref().format();
    let (first, exporting) =
        begin(context, request, |call, message| Box::pin(begin_export(call, message))).await?;
    let (trace, tenant) = (exporting.trace().to_string(), exporting.tenant().to_owned());
    let rest = exporting.parts().map(move |part| match part {
        Ok(part) => Ok(wire::export_part(part, format, &tenant)),
        Err(refusal) => Err(wire::status(&refusal, &trace)),
    });
    Ok(stream(first, rest))
}

async fn begin_export(
    call: &mut Call,
    request: v1::ExportAuditEventsRequest,
) -> Answer<(v1::ExportAuditEventsResponse, Exporting)> {
    let format = request.format();
    let begun = audit::export(call, wire::export_request(request)).await?;
    Ok(begun.map(|(first, exporting)| {
        let summary = Some(wire::export_summary(&exporting));
        let first = wire::export_part(first, format, exporting.tenant());
        (v1::ExportAuditEventsResponse { summary, ..first }, exporting)
    }))
}
