//! The audit log, read.

use credvault_domain::{Owner, ProviderId, UserId};
use credvault_identity::Facts;
use credvault_store::{AuditFilter, AuditGroup, AuditRecord, AuditSummary, Listed, PAGE_BYTES, Recorded};

use crate::{Call, Paging, Parsed, Refusal};

/// What was read of a log.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The records, or their counts.
    pub found: T,
    /// How many of the log's oldest records were removed.
    pub removed: u64,
}

/// `ListAuditEvents`: the records that pass the filter and that policy shows to the caller.
///
/// # Errors
/// Policy does not permit the log as a whole, or the filter's user is out of reach.
pub async fn list(
    call: &mut Call,
    filter: Parsed<AuditFilter>,
    paging: Parsed<Paging>,
) -> Result<Recorded<Found<Listed<AuditRecord>>>, Refusal> {
    let scope = call.scope()?;
    let page = call.page(Some(&scope), paging).await?;
    let filter = filter?;
    let permit = call.permit(&scope, Facts::default())?;
    call.reach(&scope, filter.user.as_ref())?;
    let mut listed = call.context.store.audit().list(&scope, &filter, &page).await?;
    let mut shown = call.shown(&scope);
    listed.items.retain(|record| {
        let provider = record.provider.clone().map(ProviderId::from_stored);
        let owner = record.owner_user.clone().map(|user| Owner::User(UserId::from_stored(user)));
        shown.shows(provider.as_ref(), owner.as_ref())
    });
    let removed = call.context.store.audit().first_kept(&scope).await?;
    call.recorded(&permit, Found { found: listed, removed }).await
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
) -> Result<Recorded<Found<Vec<AuditSummary>>>, Refusal> {
    let scope = call.scope()?;
    let permit = call.permit(&scope, Facts::default())?;
    call.reach(&scope, filter.user.as_ref())?;
    call.room(PAGE_BYTES).await?;
    let found = call.context.store.audit().summarize(&scope, &filter, groups).await?;
    let removed = call.context.store.audit().first_kept(&scope).await?;
    call.recorded(&permit, Found { found, removed }).await
}
