//! The audit log, read and proved: in pages, in counts, as a stream of what comes, and as an export.

mod export;
pub(crate) mod streams;
mod tail;

use credvault_identity::Facts;
use credvault_store::{
    AuditCheckpoints, AuditFilter, AuditGroup, AuditRecord, AuditSummary, ConsistencyProof,
    Error as StoreError, InclusionProof, Listed, PAGE_BYTES, ProvedRecord, Recorded, Unproved,
};

use crate::{Call, Paging, Parsed, Refusal};

pub use export::{ExportPart, ExportRequest, Exporting, export};
pub use tail::{Tail, TailPart, tail};

/// The most bytes of a record with its proof: the record stands in the answer three times, once in Base64.
const LARGEST_PROOF_BYTES: usize = 256 * 1024;

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
    call.reach(&scope, filter.owner_user.as_ref())?;
    let mut listed = call.context.store.audit().list(&scope, &filter, &page).await?;
    let mut shown = call.shown(&scope);
    listed.items.retain(|record| shown.shows_record(record));
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
    call.reach(&scope, filter.owner_user.as_ref())?;
    call.room(PAGE_BYTES).await?;
    let found = call.context.store.audit().summarize(&scope, &filter, groups).await?;
    let removed = call.context.store.audit().first_kept(&scope).await?;
    call.recorded(&permit, Found { found, removed }).await
}

/// `GetCheckpoint`: the newest state of the log, signed.
///
/// # Errors
/// Policy does not permit it, or the log does not continue what was signed of it before.
pub async fn checkpoint(call: &mut Call) -> Result<Recorded<AuditCheckpoints>, Refusal> {
    let scope = call.scope()?;
    let permit = call.permit(&scope, Facts::default())?;
    let checkpoints = call.context.store.audit().checkpoint(&scope).await?;
    call.recorded(&permit, checkpoints).await
}

/// `ProveInclusion`: that a record which policy shows to the caller is in the log.
///
/// # Errors
/// There is no such record, or not yet; the tree of that size does not have it; policy does not permit the log as a whole.
pub async fn prove_inclusion(
    call: &mut Call,
    which: ProvedRecord,
    tree_size: u64,
) -> Result<Recorded<InclusionProof>, Refusal> {
    let scope = call.scope()?;
    let permit = call.permit(&scope, Facts::default())?;
    call.room(LARGEST_PROOF_BYTES).await?;
    let proof = call.context.store.audit().prove_inclusion(&scope, which, tree_size).await?;
    if let Some(record) = &proof.record
        && !call.shown(&scope).shows_record(record)
    {
        return Err(StoreError::Unproved(Unproved::NotFound).into());
    }
    call.recorded(&permit, proof).await
}

/// `ProveConsistency`: that the log's first records are what they were.
///
/// # Errors
/// The log has not so many records, or policy does not permit it.
pub async fn prove_consistency(
    call: &mut Call,
    earlier: u64,
    tree_size: u64,
) -> Result<Recorded<ConsistencyProof>, Refusal> {
    let scope = call.scope()?;
    let permit = call.permit(&scope, Facts::default())?;
    let proof = call.context.store.audit().prove_consistency(&scope, earlier, tree_size).await?;
    call.recorded(&permit, proof).await
}
