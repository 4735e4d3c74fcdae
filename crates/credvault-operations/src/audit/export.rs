//! `ExportAuditEvents`: a log, or a part of it, as it was at one moment, part by part.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use credvault_domain::{Reach, TenantScope, TraceId};
use credvault_identity::Facts;
use credvault_store::{AuditFilter, AuditRecord, Export, ExportScope, LogEntry, Recorded};
use futures::Stream;
use futures::stream::unfold;

use super::streams::Place;
use crate::call::of_record;
use crate::{Call, Parsed, Refusal};

/// How long an export takes at most: its reader may be slow, and what the caller may read changes.
const LONGEST: Duration = Duration::from_secs(3600);

/// What a caller wants exported.
#[derive(Clone, Debug)]
pub struct ExportRequest {
    /// Which records are wanted.
    pub filter: AuditFilter,
    /// Whether the filter wants all records.
    pub wants_all: bool,
    /// The first index; none for the first that is kept.
    pub start: Option<u64>,
    /// The index after the last; none for the end of the log.
    pub end: Option<u64>,
    /// Whether the export proves its records.
    pub proves: bool,
    /// Whether it proves them by the checkpoint that witnesses have cosigned.
    pub cosigned: bool,
    /// The sizes of earlier trees that it leads to.
    pub earlier: Vec<u64>,
    /// Whether records that policy keeps from the caller may be left out.
    pub partial: bool,
}

/// A part of an export.
#[derive(Clone, Debug)]
pub struct ExportPart {
    /// The lines of an export with proofs, without line feeds.
    pub lines: Vec<String>,
    /// The records of an export without proofs, with their indexes.
    pub records: Vec<(u64, AuditRecord)>,
    /// How many records the whole export has, in its last part.
    pub total: Option<u64>,
}

/// An export that was begun.
#[derive(Debug)]
pub struct Exporting {
    call: Call,
    scope: Arc<TenantScope>,
    export: Export,
    total: u64,
    until: Instant,
    _place: Place,
}

/// `ExportAuditEvents`: begins an export. Gives the lines before all records, and what gives the rest.
///
/// # Errors
/// Policy does not permit the log as a whole, the filter's user is out of reach, the log has no such part, its head could not be
/// signed, or too many streams are open.
pub async fn export(
    call: &mut Call,
    request: Parsed<ExportRequest>,
) -> Result<Recorded<(ExportPart, Exporting)>, Refusal> {
    let scope = call.scope()?;
    let ExportRequest { filter, wants_all, start, end, proves, cosigned, earlier, partial } = request?;
    let permit = call.permit(&scope, Facts::default())?;
    call.reach(&scope, filter.user.as_ref())?;
    call.reach(&scope, filter.owner_user.as_ref())?;
    let place = call.context.audit_streams.begin(scope.tenant())?;
    let is_complete = wants_all && !partial && *scope.reach() == Reach::AllUsers;
    let what = ExportScope { scope: (*scope).clone(), filter, start, end, is_complete };
    let audit = call.context.store.audit();
    let export =
        if proves { audit.proved_export(what, earlier, cosigned).await? } else { audit.export(what).await? };
    let lines = export.first_lines().await?;
    let first = ExportPart { lines, records: Vec::new(), total: None };
    let (call_part, until) = (call.part(call.action), Instant::now() + LONGEST);
    let exporting = Exporting { call: call_part, scope, export, total: 0, until, _place: place };
    call.recorded(&permit, (first, exporting)).await
}

impl Exporting {
    /// The trace of the call that began it.
    pub fn trace(&self) -> TraceId {
        self.call.trace()
    }

    /// The tenant, or the platform, whose log it is.
    pub fn tenant(&self) -> &str {
        self.scope.tenant().as_str()
    }

    /// The part of the log, by index.
    pub fn range(&self) -> Range<u64> {
        self.export.range()
    }

    /// Whether each record of that part is exported.
    pub fn is_complete(&self) -> bool {
        self.export.is_complete()
    }

    /// The signed checkpoint that the proofs lead to; none without proofs.
    pub fn checkpoint(&self) -> Option<&str> {
        self.export.checkpoint()
    }

    /// What follows the beginning, to the part that has the total.
    pub fn parts(self) -> impl Stream<Item = Result<ExportPart, Refusal>> + Send {
        unfold(Some(self), |exporting| async move {
            let mut exporting = exporting?;
            match exporting.part().await {
                Ok(part) if part.total.is_some() => Some((Ok(part), None)),
                Ok(part) => Some((Ok(part), Some(exporting))),
                Err(refusal) => Some((Err(refusal), None)),
            }
        })
    }

    async fn part(&mut self) -> Result<ExportPart, Refusal> {
        if Instant::now() >= self.until {
            return Err(Refusal::Deadline);
        }
        self.call.check_source().await?;
        let scope = self.call.find_scope()?;
        let _ = self.call.permit(&scope, Facts::default())?;
        // What the caller reaches may have become less.
        if *self.scope.reach() == Reach::AllUsers {
            self.call.reach_all(&scope)?;
        }
        let Some(entries) = self.export.read().await? else {
            let lines = self.export.last_lines().await?;
            return Ok(ExportPart { lines, records: Vec::new(), total: Some(self.total) });
        };
        let entries = self.shown(entries)?;
        self.total += entries.len() as u64;
        if self.export.checkpoint().is_some() {
            let lines = self.export.lines(&entries).await?;
            return Ok(ExportPart { lines, records: Vec::new(), total: None });
        }
        let records = entries.into_iter().map(|entry| (entry.index, entry.record)).collect();
        Ok(ExportPart { lines: Vec::new(), records, total: None })
    }

    /// The records that policy shows to the caller. An export that is to be complete is refused at the first one that policy keeps
    /// from it.
    fn shown(&self, mut entries: Vec<LogEntry>) -> Result<Vec<LogEntry>, Refusal> {
        let mut shown = self.call.shown(&self.scope);
        if !self.export.is_complete() {
            entries.retain(|entry| shown.shows_record(&entry.record));
            return Ok(entries);
        }
        if let Some(hidden) = entries.iter().find(|entry| !shown.shows_record(&entry.record)) {
            let (provider, owner) = of_record(&hidden.record);
            let facts = Facts { provider: provider.as_ref(), owner: owner.as_ref(), purpose: None };
            let _ = self.call.permit(&self.scope, facts)?;
        }
        Ok(entries)
    }
}
