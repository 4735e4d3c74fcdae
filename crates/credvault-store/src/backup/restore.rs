//! Restoring a backup into an empty database.

use std::collections::BTreeSet;
use std::sync::Arc;

use credvault_crypto::RootKeySources;
use credvault_domain::{Random, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};

use super::erased::{ERASURE_COLUMNS, ErasedTenants, TENANT_COLUMNS};
use super::error::BackupError;
use super::hold::{HOLD_COLUMNS, hold};
use super::manifest::{Header, Manifest, hash};
use super::progress::OnBackupProgress;
use super::record::{RECORD_COLUMNS, restore_record};
use super::root::{backup_key, check_root_keys, keyring};
use super::row::{MadeRows, Noted};
use super::rows::{BackupReader, ReadToEnd};
use super::signers::Signers;
use super::tables::BACKED_UP_TABLES;
use super::target::Target;
use super::verify::place;
use super::{postgres_target, signed, sqlite_target};
use crate::database::{connect, file, prepare};
use crate::{Database, MigrateError, StoreSettings};

/// Where a backup is restored to, and under which conditions.
#[derive(Clone, Debug)]
pub struct RestoreSettings<'a> {
    /// The database to restore into.
    pub store: &'a StoreSettings,
    /// What prepares PostgreSQL, as for `credvault migrate`.
    pub migrate_url: Option<&'a SecretString>,
    /// The role that owns the schema.
    pub owner_role: &'a str,
    /// The sources of the root keys.
    pub root_keys: &'a RootKeySources,
    /// The tenants that were erased since the backup was made.
    pub erased: &'a ErasedTenants,
    /// The vault's public keys, if the operator knows them: one of them must have signed the backup.
    pub public_keys: &'a [[u8; 32]],
    /// The present, for the audit record of the restore.
    pub now: Timestamp,
}

/// A backup that was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup says about itself.
    pub manifest: Manifest,
    /// SHA-256 of the manifest.
    pub manifest_sha256: [u8; 32],
    /// How many rows were left out, because they are of tenants that were erased.
    pub rows_left_out: u64,
    /// The tenants of these rows that were erased since the backup was made.
    pub erased_since: BTreeSet<String>,
    /// Whether the backup has something in external stores. The vault removes nothing there until an operator lets it, also if
    /// the backup has nothing there yet.
    pub holds_secret_stores: bool,
    /// The migrations that were applied after the rows were there.
    pub migrated: Vec<String>,
}

/// Prepares a database as `credvault migrate` does, and restores a backup into it. The rows come with one transaction, after
/// everything was checked: a restore that fails or is killed leaves an empty database.
///
/// # Errors
/// The backup is not whole or not of this root key, the database is not empty, or it fails.
pub async fn restore_backup(
    to: &RestoreSettings<'_>,
    random: &Arc<dyn Random>,
    from: &mut (dyn std::io::Read + Send),
    on_progress: OnBackupProgress<'_>,
) -> Result<Restored, BackupError> {
    let (header, header_bytes) = Header::read(from)?;
    let keyring = keyring(to.root_keys, &header, random)?;
    let key = backup_key(&keyring, &header).await?;
    let mut backup = BackupReader::open(from, &key, &header_bytes, on_progress)?;
    let migrations = backup.opening.migrations.clone();
    let known = credvault_migrations::names();
    if let Some(unknown) = migrations.iter().find(|name| !known.contains(name)) {
        return Err(BackupError::NewerRelease(unknown.clone()));
    }
    let database = Database::of_url(&to.store.url).ok_or(MigrateError::Url)?;
    let last = migrations.last().map(String::as_str);
    migrate(to, last, &**random).await?;
    // SQLite: until the end, so that no vault begins to serve meanwhile.
    let _held = match connect::sqlite_file(to.store.url.expose_secret()) {
        Some(path) if database == Database::Sqlite => Some(file::hold(&path)?),
        _ => None,
    };
    let mut target = open(database, to, &migrations).await?;
    let erased_since = to.erased.since(&backup.opening.erased_tenants);
    backup.leave_out(erased_since.clone());
    let record = restore_record(&hash(&header_bytes), to.now, &**random)?;
    let hold = hold(to.now, &**random)?;
    let loaded = load(&mut backup, &mut target, to.erased, &erased_since, record, hold).await?;
    let ReadToEnd { manifest, manifest_sha256, left_out } = backup.end(to.public_keys)?;
    check_root_keys(&keyring, &manifest)?;
    // The list of erasures must be of the vault whose backup this is, which may have replaced its key since.
    let mut signers = loaded.signers.opened(&keyring).await?;
    signers.push(signed::public_key(&manifest)?);
    signers.extend_from_slice(to.public_keys);
    to.erased.verify(&signers)?;
    target.commit().await?;
    let migrated = migrate(to, None, &**random).await?;
    Ok(Restored {
        manifest,
        manifest_sha256,
        rows_left_out: left_out,
        erased_since,
        holds_secret_stores: loaded.in_stores,
        migrated,
    })
}

/// Brings the database up to the migration `last`, or to this release.
async fn migrate(
    to: &RestoreSettings<'_>,
    last: Option<&str>,
    random: &dyn Random,
) -> Result<Vec<String>, MigrateError> {
    prepare::migrate_until(last, to.store, to.migrate_url, to.owner_role, random).await
}

async fn open(
    database: Database,
    to: &RestoreSettings<'_>,
    migrations: &[String],
) -> Result<Target, BackupError> {
    Ok(match database {
        Database::Postgres => {
            let url = to.migrate_url.ok_or(MigrateError::NoMigrateUrl)?;
            Target::Postgres(postgres_target::open(to.store, url, to.owner_role, migrations).await?)
        }
        Database::Sqlite => Target::Sqlite(sqlite_target::open(to.store, migrations).await?),
    })
}

/// What a restore learns from rows as it loads them.
#[derive(Default)]
struct Loaded {
    /// Whether something is in external stores.
    in_stores: bool,
    /// What the vault has signed with.
    signers: Signers,
}

/// Loads all tables, what is left of tenants that were erased since, the audit record of the restore, and the mark that nothing
/// is removed from external stores. The backup may be older than the first secret there, so the mark does not depend on it.
async fn load(
    backup: &mut BackupReader<'_, '_>,
    target: &mut Target,
    erased: &ErasedTenants,
    erased_since: &BTreeSet<String>,
    record: MadeRows,
    hold: MadeRows,
) -> Result<Loaded, BackupError> {
    let (mut record, mut hold, mut loaded) = (Some(record), Some(hold), Loaded::default());
    while let Some(table) = backup.next_table()? {
        // The name goes into statements.
        if !BACKED_UP_TABLES.contains(&table.name.as_str()) {
            return Err(BackupError::Table(table.name));
        }
        let tenant_at = match table.name.as_str() {
            "tenant_keys" | "signing_keys" => Some(place(&table, "tenant_id")?),
            _ => None,
        };
        let mut rows = Noted::new(backup.rows(&table), tenant_at);
        target.load(&table.name, &table.columns, &mut rows).await?;
        if table.name == "external_payloads" {
            loaded.in_stores = rows.count > 0;
        }
        loaded.signers.note(&table, &rows.kept)?;
        let (mut more, columns) = match table.name.as_str() {
            "tenants" => (erased.tenant_rows(erased_since)?, TENANT_COLUMNS.as_slice()),
            "erasures" => (erased.erasure_rows(erased_since)?, ERASURE_COLUMNS.as_slice()),
            "payload_work" => match hold.take() {
                Some(hold) => (hold, HOLD_COLUMNS.as_slice()),
                None => continue,
            },
            "audit_events" => match record.take() {
                Some(record) => (record, RECORD_COLUMNS.as_slice()),
                None => continue,
            },
            _ => continue,
        };
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        target.load(&table.name, &columns, &mut more).await?;
    }
    Ok(loaded)
}
