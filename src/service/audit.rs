//! `AuditService`: the log, read.

use std::sync::Arc;

use credvault_domain::{Owner, ProviderId, UserId};
use credvault_identity::Facts;
use credvault_store::{PAGE_BYTES, Recorded};

use super::rpcs;
use crate::call::Call;
use crate::proto::v1;
use crate::vault::Vault;
use crate::wire;
use credvault_operations::Refusal;

pub(crate) struct Service(pub(crate) Arc<Vault>);

rpcs! {
    Service, v1::audit_service_server::AuditService,
    list_audit_events: ListAuditEventsRequest -> ListAuditEventsResponse,
    summarize_audit_events: SummarizeAuditEventsRequest -> SummarizeAuditEventsResponse,
}

async fn list_audit_events(
    call: Arc<Call>,
    request: v1::ListAuditEventsRequest,
) -> Result<Recorded<v1::ListAuditEventsResponse>, Refusal> {
    let scope = call.scope()?;
    let page = call.page(Some(&scope), &request).await?;
    let filter = wire::audit_filter(request.filter)?;
    call.permit(&scope, Facts::default())?;
    call.reach(&scope, filter.user.as_ref())?;
    let listed = call.vault.store.audit().list(&scope, &filter, &page).await?;
    let mut shown = call.shown(&scope);
    let events = listed.items.into_iter().filter(|record| {
        let provider = record.provider.clone().map(ProviderId::from_stored);
        let owner = record.owner_user.clone().map(|user| Owner::User(UserId::from_stored(user)));
        shown.shows(provider.as_ref(), owner.as_ref())
    });
    let events = events.map(wire::audit_event).collect();
    call.recorded(v1::ListAuditEventsResponse { events, next_page_token: listed.next_page_token }).await
}

/// Counts what a caller reaches. Policy is asked about the whole only: a count has no items that could be left out.
async fn summarize_audit_events(
    call: Arc<Call>,
    request: v1::SummarizeAuditEventsRequest,
) -> Result<Recorded<v1::SummarizeAuditEventsResponse>, Refusal> {
    let scope = call.scope()?;
    let groups = wire::audit_groups(&request.group_by)?;
    let filter = wire::audit_filter(request.filter)?;
    call.permit(&scope, Facts::default())?;
    call.reach(&scope, filter.user.as_ref())?;
    call.room(PAGE_BYTES).await?;
    let rows = call.vault.store.audit().summarize(&scope, &filter, &groups).await?;
    let summaries = rows.into_iter().map(|row| wire::audit_summary(&groups, row)).collect();
    call.recorded(v1::SummarizeAuditEventsResponse { summaries }).await
}
