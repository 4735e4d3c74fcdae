//! Making a backup of a database.

use credvault_crypto::{BackupKey, RunningSha256, VaultSigner, WrappedBackupKey, sha256};
use secrecy::SecretString;

use super::error::BackupError;
use super::items::{ItemWriter, Kind};
use super::manifest::{FORMAT, Header, Manifest, Opening, TableItem, TableSummary, hash, to_json};
use super::progress::{BackupProgress, OnBackupProgress, ROWS_BETWEEN};
use super::signed::{public_key_text, sign};
use super::source::Source;
use super::tables::BACKED_UP_TABLES;
use crate::hex::hex;
use crate::{Database, Store};

/// A backup that was written to its end.
#[derive(Clone, Debug)]
pub struct BackedUp {
    /// What it says about itself.
    pub manifest: Manifest,
    /// SHA-256 of the manifest.
    pub manifest_sha256: [u8; 32],
    /// The number of bytes of the whole backup.
    pub bytes: u64,
}

impl Store {
    /// Writes a backup of everything as it is now to `to`. On PostgreSQL it reads as the role of backups, of which the user
    /// of `migrate_url` is a member; `owner_role` owns the schema. Call [`Store::record_backup`] once it is stored safely.
    ///
    /// # Errors
    /// The database or the key fails, or the backup cannot be written. What was written then is no backup.
    pub async fn back_up(
        &self,
        migrate_url: Option<&SecretString>,
        owner_role: &str,
        to: &mut (dyn std::io::Write + Send),
        on_progress: OnBackupProgress<'_>,
    ) -> Result<BackedUp, BackupError> {
        // All keys before the transaction begins: they may be in a key manager on the network.
        let signer = self.signer().await?;
        let wrapped = self.keyring().wrap_backup_key().await;
        let (key, wrapped): (BackupKey, WrappedBackupKey) = wrapped.map_err(BackupError::RootKey)?;
        // Before the moment that is read: nothing that happened until then is missing.
        let time = self.now().micros();
        let mut source = Source::open(self, migrate_url, owner_role).await?;
        let derivations = source.texts(DERIVATIONS).await?;
        let kind = kind_name(self.database());
        let header = Header::new(time, kind, signer.key_id(), &wrapped, derivations).to_bytes()?;
        let opening = Opening {
            migrations: source.texts("SELECT version FROM schema_migrations ORDER BY version").await?,
            erased_tenants: source.texts("SELECT tenant_id FROM erasures ORDER BY tenant_id").await?,
        };
        // A later release may have tables that this one knows nothing of.
        let known = credvault_migrations::names();
        if let Some(unknown) = opening.migrations.iter().find(|name| !known.contains(name)) {
            return Err(BackupError::NewerDatabase(unknown.clone()));
        }
        let mut items = ItemWriter::begin(to, &key, &header)?;
        items.item(Kind::Opening, &to_json(&opening)?)?;
        let mut tables = Tables::new(items, on_progress);
        for table in BACKED_UP_TABLES {
            tables.write(&mut source, table).await?;
        }
        let root_ids = source.numbers(ROOT_IDS).await?;
        // The manifest says what was read, whatever the database does from here on.
        drop(source);
        let manifest = Manifest {
            format: FORMAT,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            time,
            database: kind.to_owned(),
            signing_key_id: signer.key_id().to_owned(),
            public_key: public_key_text(&signer),
            header_sha256: hash(&header),
            migrations: opening.migrations,
            tables: std::mem::take(&mut tables.done),
            root_key_ids: root_ids.iter().map(|id| format!("{id:08x}")).collect(),
            erased_tenants: opening.erased_tenants,
            rows: tables.rows,
            row_bytes: tables.row_bytes,
        };
        finish(tables.items, manifest, &signer)
    }
}

/// How passphrases become root keys: a restore needs it before it can read any row.
const DERIVATIONS: &str = "SELECT kdf FROM root_keys WHERE kdf IS NOT NULL ORDER BY generation";

/// The root keys that wrap tenants' keys. A key that was destroyed has the number 0.
const ROOT_IDS: &str = "SELECT DISTINCT root_id FROM tenant_keys WHERE root_id <> 0 ORDER BY root_id";

/// The kind of database as the manifest names it.
pub(super) fn kind_name(database: Database) -> &'static str {
    match database {
        Database::Postgres => "postgres",
        Database::Sqlite => "sqlite",
    }
}

/// Writes manifest, signature and end.
pub(super) fn finish(
    mut items: ItemWriter<'_>,
    manifest: Manifest,
    signer: &VaultSigner,
) -> Result<BackedUp, BackupError> {
    let bytes = manifest.to_bytes()?;
    items.item(Kind::Manifest, &bytes)?;
    items.item(Kind::Signature, &sign(signer, &bytes))?;
    Ok(BackedUp { manifest, manifest_sha256: sha256(&[bytes]), bytes: items.end()? })
}

/// The tables of a backup that is being written.
pub(super) struct Tables<'a, 'b> {
    pub(super) items: ItemWriter<'a>,
    on_progress: OnBackupProgress<'b>,
    pub(super) done: Vec<TableSummary>,
    pub(super) rows: u64,
    pub(super) row_bytes: u64,
    /// The rows of the table that is being written.
    written: u64,
    /// The hash of that table so far.
    hashed: RunningSha256,
}

impl<'a, 'b> Tables<'a, 'b> {
    pub(super) fn new(items: ItemWriter<'a>, on_progress: OnBackupProgress<'b>) -> Self {
        let (done, hashed) = (Vec::new(), RunningSha256::new());
        Self { items, on_progress, done, rows: 0, row_bytes: 0, written: 0, hashed }
    }

    async fn write(&mut self, source: &mut Source, table: &'static str) -> Result<(), BackupError> {
        let columns = |tables: &mut Self, columns: Vec<String>| tables.begin(table, columns);
        let each = |tables: &mut Self, row: &[u8]| tables.row(table, row);
        source.table(table, self, columns, each).await?;
        self.end(table);
        Ok(())
    }

    /// Begins a table with these columns.
    pub(super) fn begin(&mut self, table: &str, columns: Vec<String>) -> Result<(), BackupError> {
        self.written = 0;
        self.hashed = begin_hash(&columns);
        let item = TableItem { name: table.to_owned(), columns };
        self.items.item(Kind::Table, &to_json(&item)?)
    }

    /// Ends a table that was begun.
    pub(super) fn end(&mut self, table: &str) {
        let hashed = std::mem::take(&mut self.hashed);
        let summary =
            TableSummary { name: table.to_owned(), rows: self.written, sha256: hex(&hashed.finish()) };
        self.done.push(summary);
        self.show(table);
    }

    /// Adds a row to the table that was begun.
    pub(super) fn row(&mut self, table: &str, row: &[u8]) -> Result<(), BackupError> {
        hash_row(&mut self.hashed, row);
        self.items.item(Kind::Row, row)?;
        self.written += 1;
        self.rows += 1;
        self.row_bytes += u64::try_from(row.len()).unwrap_or(u64::MAX);
        if self.rows.is_multiple_of(ROWS_BETWEEN) {
            self.show(table);
        }
        Ok(())
    }

    fn show(&mut self, table: &str) {
        (self.on_progress)(BackupProgress { table, rows: self.rows, bytes: self.items.bytes_written() });
    }
}

/// Begins the hash of a table with the names of its columns, so that no value moves into another column unnoticed.
pub(super) fn begin_hash(columns: &[String]) -> RunningSha256 {
    let mut hash = RunningSha256::new();
    hash.update(&u64::try_from(columns.len()).unwrap_or(u64::MAX).to_be_bytes());
    columns.iter().for_each(|column| hash_row(&mut hash, column.as_bytes()));
    hash
}

/// Takes a row into the hash of its table: with its length, so that two lists of rows never give the same.
pub(super) fn hash_row(hash: &mut RunningSha256, row: &[u8]) {
    hash.update(&u64::try_from(row.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(row);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_row_in_other_columns_is_another_table() {
        let of = |columns: &[&str]| {
            let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
            let mut hash = begin_hash(&columns);
            hash_row(&mut hash, b"row");
            hex(&hash.finish())
        };
        let tables = [&["a", "b"][..], &["b", "a"], &["ab"], &["a", "b", "c"], &["a"], &[]];
        assert_eq!(tables.map(of).into_iter().collect::<BTreeSet<_>>().len(), tables.len());
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
    }
}
