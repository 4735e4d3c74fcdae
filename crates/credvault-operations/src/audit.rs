//! The audit log, read: in pages, in counts, as a stream of what comes, and as an export.

mod export;
pub(crate) mod streams;
mod tail;

use credvault_identity::Facts;
use credvault_store::{AuditFilter, AuditGroup, AuditRecord, AuditSummary, Listed, PAGE_BYTES, Recorded};

use crate::{Call, Paging, Parsed, Refusal};

pub use export::{ExportPart, ExportRequest, Exporting, export};
pub use tail::{Tail, TailPart, tail};

/// `ListAuditEvents`: the records that pass the filter and that policy shows to the caller.
///
/// # Errors
/// Policy does not permit the log as a whole, or the filter's user is out of reach.
pub async fn list(
    call: &mut Call,
    filter: Parsed<AuditFilter>,
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<AuditRecord>>, Refusal> {
    let scope = call.scope()?;
    let page = call.page(Some(&scope), paging).await?;
    let filter = filter?;
    let permit = call.permit(&scope, Facts::default())?;
    call.reach(&scope, filter.user.as_ref())?;
    let mut listed = call.context.store.audit().list(&scope, &filter, &page).await?;
    let mut shown = call.shown(&scope);
    listed.items.retain(|record| shown.shows_record(record));
    call.recorded(&permit, listed).await
}

/// `SummarizeAuditEvents`: counts the records that a caller reaches. Policy is asked about the whole only: a count has no
/// items that could be left out.
///
/// # Errors
/// Policy does not permit the log as a whole, or the filter's user is out of reach.
pub async fn summarize(
    call: &mut Call,
    groups: &[AuditGroup],
    filter: AuditFilter,
) -> Result<Recorded<Vec<AuditSummary>>, Refusal> {
    let scope = call.scope()?;
    let permit = call.permit(&scope, Facts::default())?;
    call.reach(&scope, filter.user.as_ref())?;
    call.room(PAGE_BYTES).await?;
    let rows = call.context.store.audit().summarize(&scope, &filter, groups).await?;
    call.recorded(&permit, rows).await
}
