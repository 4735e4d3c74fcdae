//! Verifying a backup without restoring it.

use std::sync::Arc;

use credvault_crypto::{Keyring, RootKeySources};
use credvault_domain::{Random, TenantId};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::error::{BackupError, malformed};
use super::manifest::{Header, Manifest, TableItem};
use super::progress::OnBackupProgress;
use super::root::{backup_key, check_root_keys, keyring};
use super::row::{NextRow as _, Values, integer, text};
use super::rows::{BackupReader, ReadToEnd, Rows};

/// How many keys of tenants are held at a time, so that memory stays flat.
pub(super) const KEYS_HELD: usize = 1000;
/// How many of them are unwrapped at once. With a key manager, each is a call on the network.
pub(super) const KEYS_AT_ONCE: usize = 16;

/// A backup that was found whole.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What the backup says about itself.
    pub manifest: Manifest,
    /// SHA-256 of the manifest.
    pub manifest_sha256: [u8; 32],
    /// How many keys of tenants it has. Each of them unwraps.
    pub tenant_keys: u64,
}

/// Opens all of a backup, compares it with its manifest, verifies the signature, and unwraps all keys of tenants. Needs the
/// root key, and no database. It reads without a pause, so a caller that may stop gives it a thread of its own.
///
/// # Errors
/// The backup is not whole, not of this root key, or not signed as it should be.
pub async fn verify_backup(
    root_keys: &RootKeySources,
    public_keys: &[[u8; 32]],
    random: &Arc<dyn Random>,
    from: &mut (dyn std::io::Read + Send),
    on_progress: OnBackupProgress<'_>,
) -> Result<Verified, BackupError> {
    let (header, header_bytes) = Header::read(from)?;
    let keyring = keyring(root_keys, &header, random)?;
    let key = backup_key(&keyring, &header).await?;
    let mut backup = BackupReader::open(from, &key, &header_bytes, on_progress)?;
    // The keys of these were destroyed.
    backup.leave_out(Default::default());
    let mut tenant_keys = 0;
    while let Some(table) = backup.next_table()? {
        let mut rows = backup.rows(&table);
        match table.name.as_str() {
            "root_keys" => register(&keyring, &table, &mut rows)?,
            "tenant_keys" => tenant_keys = unwrap_keys(&keyring, &table, &mut rows).await?,
            _ => while rows.next()?.is_some() {},
        }
    }
    let ReadToEnd { manifest, manifest_sha256, .. } = backup.end(public_keys)?;
    check_root_keys(&keyring, &manifest)?;
    Ok(Verified { manifest, manifest_sha256, tenant_keys })
}

/// Notes the root keys that the backup knows, so that a missing one is not taken for an altered key of a tenant.
fn register(keyring: &Keyring, table: &TableItem, rows: &mut Rows<'_, '_, '_>) -> Result<(), BackupError> {
    let (id_at, kind_at) = (place(table, "root_id")?, place(table, "kind")?);
    while let Some(row) = rows.next()? {
        let id = u32::try_from(integer(value(row, id_at)?)?).map_err(|_| malformed())?;
        keyring.register(id, text(value(row, kind_at)?)?);
    }
    Ok(())
}

/// Where a column stands in the rows of a table.
pub(super) fn place(table: &TableItem, name: &str) -> Result<usize, BackupError> {
    table.columns.iter().position(|column| column == name).ok_or_else(malformed)
}

/// The value of a row at a place, which is not NULL.
pub(super) fn value(row: &[u8], at: usize) -> Result<&[u8], BackupError> {
    Values(row).nth(at).ok_or_else(malformed)??.ok_or_else(malformed)
}

/// A tenant's key as the backup has it.
struct KeyRow {
    tenant: TenantId,
    version: i64,
    wrapped: Vec<u8>,
}

/// Reads and unwraps the keys of tenants, and tells how many those are.
async fn unwrap_keys(
    keyring: &Keyring,
    table: &TableItem,
    rows: &mut Rows<'_, '_, '_>,
) -> Result<u64, BackupError> {
    let (tenant_at, version_at) = (place(table, "tenant_id")?, place(table, "version")?);
    let wrapped_at = place(table, "wrapped")?;
    let (mut all, mut held) = (0, Vec::with_capacity(KEYS_HELD));
    while let Some(row) = rows.next()? {
        let tenant = TenantId::from_stored(text(value(row, tenant_at)?)?.to_owned());
        let (version, wrapped) = (integer(value(row, version_at)?)?, value(row, wrapped_at)?.to_vec());
        held.push(KeyRow { tenant, version, wrapped });
        all += 1;
        if held.len() == KEYS_HELD {
            unwrap_all(keyring, std::mem::take(&mut held)).await?;
        }
    }
    unwrap_all(keyring, held).await?;
    Ok(all)
}

/// Unwraps keys, several at a time.
async fn unwrap_all(keyring: &Keyring, keys: Vec<KeyRow>) -> Result<(), BackupError> {
    let unwrapping = stream::iter(keys).map(|key| unwrap(keyring, key)).buffer_unordered(KEYS_AT_ONCE);
    unwrapping.try_for_each(|()| std::future::ready(Ok(()))).await
}

async fn unwrap(keyring: &Keyring, key: KeyRow) -> Result<(), BackupError> {
    let KeyRow { tenant, version, wrapped } = key;
    let broken = || BackupError::TenantKey { tenant: tenant.as_str().to_owned(), version };
    let number = u32::try_from(version).map_err(|_| broken())?;
    match keyring.unwrap(&tenant, number, &wrapped).await {
        Ok(_) => Ok(()),
        Err(credvault_crypto::Error::Integrity) => Err(broken()),
        Err(error) => Err(BackupError::RootKey(error)),
    }
}
