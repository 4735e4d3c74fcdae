//! The tables and rows of a backup that is read, in its order, with what has to be left out left out. Whatever is read is
//! counted and hashed, and at the end compared with the manifest.

use std::collections::BTreeSet;

use credvault_crypto::{BackupKey, RunningSha256, sha256};

use super::error::{BackupError, malformed};
use super::items::{ItemReader, Kind};
use super::manifest::{FORMAT, Manifest, Opening, TableItem, TableSummary, from_json, hash};
use super::progress::{BackupProgress, OnBackupProgress, ROWS_BETWEEN};
use super::row::{NextRow, Values};
use super::signed;
use super::tables::{KEPT_OF_ERASED, TENANT_COLUMNS};
use super::write::{begin_hash, hash_row};
use crate::hex::hex;

/// A backup that is read behind its header.
pub(super) struct BackupReader<'a, 'b> {
    items: ItemReader<'a>,
    on_progress: OnBackupProgress<'b>,
    pub(super) opening: Opening,
    header_sha256: String,
    /// The tenants whose rows are left out.
    erased: BTreeSet<String>,
    /// Those of them whose erasure the backup does not know.
    erased_since: BTreeSet<String>,
    done: Vec<TableSummary>,
    rows: u64,
    row_bytes: u64,
    left_out: u64,
}

/// A backup that was read to its end and is what its manifest says.
pub(super) struct ReadToEnd {
    pub(super) manifest: Manifest,
    pub(super) manifest_sha256: [u8; 32],
    pub(super) left_out: u64,
}

impl<'a, 'b> BackupReader<'a, 'b> {
    /// Opens what follows the header.
    pub(super) fn open(
        from: &'a mut (dyn std::io::Read + Send),
        key: &BackupKey,
        header: &[u8],
        on_progress: OnBackupProgress<'b>,
    ) -> Result<Self, BackupError> {
        let mut items = ItemReader::new(from, key, header);
        let opening: Opening = from_json(items.next(Kind::Opening)?).map_err(|_| malformed())?;
        Ok(Self {
            items,
            on_progress,
            opening,
            header_sha256: hash(header),
            erased: BTreeSet::new(),
            erased_since: BTreeSet::new(),
            done: Vec::new(),
            rows: 0,
            row_bytes: 0,
            left_out: 0,
        })
    }

    /// Leaves the rows out that are of tenants which were erased, before the backup was made or since.
    pub(super) fn leave_out(&mut self, erased_since: BTreeSet<String>) {
        self.erased = self.opening.erased_tenants.iter().chain(&erased_since).cloned().collect();
        self.erased_since = erased_since;
    }

    /// The next table; `None` behind the last one.
    pub(super) fn next_table(&mut self) -> Result<Option<TableItem>, BackupError> {
        if self.items.peek()? != Some(Kind::Table) {
            return Ok(None);
        }
        Ok(Some(from_json(self.items.next(Kind::Table)?).map_err(|_| malformed())?))
    }

    /// The rows of the table that was just begun. Read them to their end.
    pub(super) fn rows<'c>(&'c mut self, table: &TableItem) -> Rows<'c, 'a, 'b> {
        let erased = match table.name.as_str() {
            name if KEPT_OF_ERASED.contains(&name) => BTreeSet::new(),
            // What the backup itself knows as erased has no name there any more.
            "tenants" => self.erased_since.clone(),
            _ => self.erased.clone(),
        };
        let of_tenant = |name: &String| !erased.is_empty() && TENANT_COLUMNS.contains(&name.as_str());
        Rows {
            tenant_columns: table.columns.iter().map(of_tenant).collect(),
            table: table.name.clone(),
            erased,
            backup: self,
            row: Vec::new(),
            hashed: begin_hash(&table.columns),
            count: 0,
        }
    }

    /// Reads manifest, signature and end, and compares them with all that was read.
    pub(super) fn end(mut self, public_keys: &[[u8; 32]]) -> Result<ReadToEnd, BackupError> {
        let bytes = self.items.next(Kind::Manifest)?.to_vec();
        let manifest: Manifest = from_json(&bytes).map_err(|_| malformed())?;
        let signature = self.items.next(Kind::Signature)?.to_vec();
        self.items.end()?;
        signed::verify(&manifest, &bytes, &signature, public_keys)?;
        self.compare(&manifest)?;
        Ok(ReadToEnd { manifest_sha256: sha256(&[bytes]), manifest, left_out: self.left_out })
    }

    fn compare(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let differs = |what: &str| Err(BackupError::Manifest(what.to_owned()));
        if manifest.format != FORMAT || manifest.header_sha256 != self.header_sha256 {
            return differs("its header is another one");
        }
        let opening = Opening {
            migrations: manifest.migrations.clone(),
            erased_tenants: manifest.erased_tenants.clone(),
        };
        if opening != self.opening {
            return differs("its migrations or erased tenants are others");
        }
        let other = self.done.iter().zip(&manifest.tables).find(|(read, stated)| read != stated);
        if let Some((read, _)) = other {
            return differs(&format!("the rows of {} are others", read.name));
        }
        let sums = (self.done.len(), self.rows, self.row_bytes);
        if sums != (manifest.tables.len(), manifest.rows, manifest.row_bytes) {
            return differs("it has other tables or more or fewer rows");
        }
        Ok(())
    }
}

/// The rows of one table.
pub(super) struct Rows<'c, 'a, 'b> {
    backup: &'c mut BackupReader<'a, 'b>,
    table: String,
    /// The tenants whose rows are left out of this table.
    erased: BTreeSet<String>,
    /// For each column, whether it names a tenant whose rows may have to be left out.
    tenant_columns: Vec<bool>,
    row: Vec<u8>,
    hashed: RunningSha256,
    count: u64,
}

impl NextRow for Rows<'_, '_, '_> {
    /// The next row that is not left out.
    fn next(&mut self) -> Result<Option<&[u8]>, BackupError> {
        loop {
            if self.backup.items.peek()? != Some(Kind::Row) {
                self.end();
                return Ok(None);
            }
            let row = self.backup.items.next(Kind::Row)?;
            hash_row(&mut self.hashed, row);
            self.row.clear();
            self.row.extend_from_slice(row);
            self.count();
            if !self.is_left_out()? {
                return Ok(Some(&self.row));
            }
            self.backup.left_out += 1;
        }
    }
}

impl Rows<'_, '_, '_> {
    fn count(&mut self) {
        self.count += 1;
        self.backup.rows += 1;
        self.backup.row_bytes += u64::try_from(self.row.len()).unwrap_or(u64::MAX);
        if self.backup.rows.is_multiple_of(ROWS_BETWEEN) {
            self.show();
        }
    }

    fn is_left_out(&self) -> Result<bool, BackupError> {
        if !self.tenant_columns.contains(&true) {
            return Ok(false);
        }
        for (value, names_tenant) in Values(&self.row).zip(&self.tenant_columns) {
            let tenant = value?.filter(|_| *names_tenant).map(std::str::from_utf8);
            if let Some(Ok(tenant)) = tenant
                && self.erased.contains(tenant)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn end(&mut self) {
        let hashed = std::mem::take(&mut self.hashed);
        let summary =
            TableSummary { name: self.table.clone(), rows: self.count, sha256: hex(&hashed.finish()) };
        self.backup.done.push(summary);
        self.show();
    }

    fn show(&mut self) {
        let bytes = self.backup.items.bytes_read();
        (self.backup.on_progress)(BackupProgress { table: &self.table, rows: self.backup.rows, bytes });
    }
}
