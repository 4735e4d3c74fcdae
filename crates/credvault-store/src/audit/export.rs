//! An export of a log as it was at one moment: its records in the order of their indexes and, where proofs are wanted, the lines
//! of an export that is verified without the vault. Memory does not grow with the log.

use std::ops::Range;

use credvault_audit::{ExportWriter, Selection, TileId};
use credvault_domain::TenantScope;

use super::filter::AuditFilter;
use super::stretch::{LogBounds, LogEntry, Stretch};
use super::tree::read_tiles;
use crate::integrity::alarm;
use crate::{Audit, Error, Store, Unproved};

/// What an export is to have.
#[derive(Clone, Debug)]
pub struct ExportScope {
    /// Whose records of which tenant are exported.
    pub scope: TenantScope,
    /// Which of them are wanted.
    pub filter: AuditFilter,
    /// The first index; none for the first that is kept.
    pub start: Option<u64>,
    /// The index after the last; none for the end of the log.
    pub end: Option<u64>,
    /// Whether each record of that part is in the export: the filter is empty, and nothing is left out afterwards.
    pub is_complete: bool,
}

/// An export that is being read.
#[derive(Debug)]
pub struct Export {
    store: Store,
    scope: TenantScope,
    filter: AuditFilter,
    range: Range<u64>,
    next: u64,
    is_complete: bool,
    checkpoint: Option<String>,
    proofs: Option<ExportWriter>,
}

impl Audit<'_> {
    /// Begins an export without proofs.
    ///
    /// # Errors
    /// [`Unproved::Position`] if the log has not all of the part; the tenant does not exist; the database fails.
    pub async fn export(&self, what: ExportScope) -> Result<Export, Error> {
        self.store.await_journal().await?;
        let bounds = self.bounds(&what.scope).await?;
        self.begin(what, bounds)
    }

    /// Begins an export that proves its records, by the newest checkpoint or by the one that witnesses have cosigned. It will
    /// prove, too, that the log continues what it was at the sizes `earlier`.
    ///
    /// # Errors
    /// [`Error::State`] if no witness has cosigned;
    /// [`Unproved::Position`] if the log has not all of the part, or does not lead to one of the sizes any more; the checkpoint
    /// could not be signed; the tenant does not exist; the database fails.
    pub async fn proved_export(
        &self,
        what: ExportScope,
        earlier: Vec<u64>,
        cosigned: bool,
    ) -> Result<Export, Error> {
        let checkpoints = self.checkpoint(&what.scope).await?;
        let checkpoint = if cosigned { checkpoints.cosigned } else { Some(checkpoints.newest) };
        let none = "no witness has cosigned a checkpoint of this log yet; export by the newest one";
        let signed = checkpoint.ok_or(Error::State(none))?.signed;
        let (bounds, size) = (self.bounds(&what.scope).await?, signed.unverified().size);
        let bounds = LogBounds { first: bounds.first.min(size), end: size };
        earlier.iter().try_for_each(|size| bounds.check(*size))?;
        let mut export = self.begin(what, bounds)?;
        export.checkpoint = Some(signed.to_string());
        let selection = Selection { range: export.range.clone(), is_complete: export.is_complete };
        export.proofs = Some(ExportWriter::begin(signed, selection, earlier).ok_or(Error::Integrity)?);
        Ok(export)
    }

    fn begin(&self, what: ExportScope, bounds: LogBounds) -> Result<Export, Error> {
        let ExportScope { scope, filter, start, end, is_complete } = what;
        let range = start.unwrap_or(bounds.first)..end.unwrap_or(bounds.end);
        bounds.check(range.start)?;
        bounds.check(range.end)?;
        if range.start > range.end {
            return Err(Error::Unproved(Unproved::Position { first: bounds.first, end: bounds.end }));
        }
        let (store, next) = (self.store.clone(), range.start);
        Ok(Export { store, scope, filter, range, next, is_complete, checkpoint: None, proofs: None })
    }
}

impl Export {
    /// The part of the log, by index.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Whether each record of that part is in the export.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The checkpoint that the proofs lead to; none without proofs.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// The lines before all records; none without proofs.
    ///
    /// # Errors
    /// [`Error::Integrity`] if a hash is not there; the database fails.
    pub async fn first_lines(&self) -> Result<Vec<String>, Error> {
        let Some(writer) = &self.proofs else { return Ok(Vec::new()) };
        let mut lines = vec![writer.header_line()];
        lines.extend(self.tile_lines(&writer.edge()).await?);
        Ok(lines)
    }

    /// The next records; none after the last. Some parts have no record that is wanted.
    ///
    /// # Errors
    /// [`Error::State`] if the export is to be complete and a record is of a later release; otherwise as
    /// [`Audit::stretch`].
    pub async fn read(&mut self) -> Result<Option<Vec<LogEntry>>, Error> {
        if self.next >= self.range.end {
            return Ok(None);
        }
        let (start, range) = (self.next, self.next..self.range.end);
        let Stretch { entries, next } = self.store.audit().stretch(&self.scope, &self.filter, range).await?;
        self.next = next;
        if self.is_complete && u64::try_from(entries.len()) != Ok(next - start) {
            return Err(Error::State(
                "a later release of the vault wrote a record that this replica cannot read: export from a replica of that release",
            ));
        }
        Ok(Some(entries))
    }

    /// The lines of records, with the hashes that prove them; none without proofs. Call it in the order of [`Export::read`].
    ///
    /// # Errors
    /// [`Error::Integrity`] if a hash is not there; the database fails.
    pub async fn lines(&mut self, entries: &[LogEntry]) -> Result<Vec<String>, Error> {
        let Some(writer) = &mut self.proofs else { return Ok(Vec::new()) };
        let before: Vec<_> = entries.iter().map(|entry| writer.before(entry.index)).collect();
        let mut lines = Vec::new();
        for (entry, tiles) in entries.iter().zip(before) {
            if !tiles.is_empty() {
                lines.extend(self.tile_lines(&tiles).await?);
            }
            let Some(writer) = &mut self.proofs else { return Ok(lines) };
            lines.push(writer.record_line(entry.index, &entry.entry).map_err(|_| Error::Integrity)?);
        }
        Ok(lines)
    }

    /// The lines after all records; none without proofs.
    ///
    /// # Errors
    /// [`Error::Integrity`] if a hash is not there; the database fails.
    pub async fn last_lines(&mut self) -> Result<Vec<String>, Error> {
        let Some(writer) = &mut self.proofs else { return Ok(Vec::new()) };
        let tiles = writer.after();
        let mut lines = self.tile_lines(&tiles).await?;
        lines.extend(self.proofs.take().map(ExportWriter::end_line));
        Ok(lines)
    }

    async fn tile_lines(&self, needed: &[TileId]) -> Result<Vec<String>, Error> {
        let Some(writer) = &self.proofs else { return Ok(Vec::new()) };
        if needed.is_empty() {
            return Ok(Vec::new());
        }
        let tx = self.store.look(self.scope.tenant()).await?;
        let tiles = read_tiles(&tx, self.scope.tenant(), &[], needed).await?;
        tx.rollback().await?;
        let lines = needed.iter().map(|tile| writer.tile_line(*tile, &tiles));
        lines.collect::<Result<_, _>>().map_err(|_| {
            alarm(self.scope.tenant(), "audit_log", [0; 16]);
            Error::Integrity
        })
    }
}
