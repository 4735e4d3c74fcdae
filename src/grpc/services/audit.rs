//! `AuditService`: the audit log, read and proved.

use std::sync::Arc;

use credvault_operations::{Call, Context, audit};

use super::audit_streams::{export_audit_events, tail_audit_events};
use super::frame::{Answer, rpcs};
use crate::grpc::wire;
use credvault_proto::v1;

pub(crate) struct Service(pub(crate) Arc<Context>);

rpcs! {
    Service, v1::audit_service_server::AuditService,
    [
        tail_audit_events, TailAuditEventsStream: TailAuditEventsRequest -> TailAuditEventsResponse;
        export_audit_events, ExportAuditEventsStream: ExportAuditEventsRequest -> ExportAuditEventsResponse;
    ]
    list_audit_events: ListAuditEventsRequest -> ListAuditEventsResponse,
    summarize_audit_events: SummarizeAuditEventsRequest -> SummarizeAuditEventsResponse,
    get_checkpoint: GetCheckpointRequest -> GetCheckpointResponse,
    prove_inclusion: ProveInclusionRequest -> ProveInclusionResponse,
    prove_consistency: ProveConsistencyRequest -> ProveConsistencyResponse,
}

async fn list_audit_events(
    call: &mut Call,
    request: v1::ListAuditEventsRequest,
) -> Answer<v1::ListAuditEventsResponse> {
    let filter = wire::audit_filter(request.filter.clone());
    let listed = audit::list(call, filter, wire::paging(request)).await?;
    Ok(listed.map(|audit::Found { found, removed }| v1::ListAuditEventsResponse {
        events: found.items.into_iter().map(wire::audit_event).collect(),
        next_page_token: found.next_page_token,
        removed_count: number(removed),
    }))
}

async fn summarize_audit_events(
    call: &mut Call,
    request: v1::SummarizeAuditEventsRequest,
) -> Answer<v1::SummarizeAuditEventsResponse> {
    let groups = wire::audit_groups(&request.group_by)?;
    let filter = wire::audit_filter(request.filter)?;
    let rows = audit::summarize(call, &groups, filter).await?;
    let summaries = |rows: Vec<_>| rows.into_iter().map(|row| wire::audit_summary(&groups, row)).collect();
    Ok(rows.map(|audit::Found { found, removed }| v1::SummarizeAuditEventsResponse {
        summaries: summaries(found),
        removed_count: number(removed),
    }))
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn get_checkpoint(call: &mut Call, _: v1::GetCheckpointRequest) -> Answer<v1::GetCheckpointResponse> {
    Ok(audit::checkpoint(call).await?.map(wire::checkpoints))
}

async fn prove_inclusion(
    call: &mut Call,
    request: v1::ProveInclusionRequest,
) -> Answer<v1::ProveInclusionResponse> {
    let (record, tree_size) = wire::proved_record(request)?;
    Ok(audit::prove_inclusion(call, record, tree_size).await?.map(wire::inclusion_proof))
}

async fn prove_consistency(
    call: &mut Call,
    request: v1::ProveConsistencyRequest,
) -> Answer<v1::ProveConsistencyResponse> {
    let (earlier, tree_size) = wire::tree_sizes(request)?;
    Ok(audit::prove_consistency(call, earlier, tree_size).await?.map(wire::consistency_proof))
}
