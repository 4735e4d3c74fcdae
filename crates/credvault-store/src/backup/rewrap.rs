//! A backup under the root key that wraps now: the same data, so that the older root key can be destroyed. What has to be left
//! out, the tenants that were erased since, is left out; the vault signs what it has written.

use std::collections::BTreeSet;

use credvault_crypto::{Keyring, WrappedBackupKey};
use credvault_domain::TenantId;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::erased::{ERASURE_COLUMNS, ErasedTenants, TENANT_COLUMNS};
use super::error::BackupError;
use super::items::{ItemWriter, Kind};
use super::manifest::{FORMAT, Header, Manifest, Opening, TableItem, hash, to_json};
use super::progress::{BackupProgress, OnBackupProgress};
use super::root::backup_key;
use super::row::{NextRow, Values, integer, put, text};
use super::rows::{BackupReader, Rows};
use super::signed::public_key_text;
use super::verify::{KEYS_AT_ONCE, KEYS_HELD, place, value};
use super::write::{BackedUp, Tables, finish};
use crate::database::roots::RootState;
use crate::entity::{erasure, root_key};
use crate::keys::rotation::RotationKind;
use crate::{Error, Store};

/// What a backup is rewrapped for.
struct Rewrapping<'a> {
    keyring: &'a Keyring,
    /// The row of the root key that wraps.
    root: root_key::Model,
    erased: ErasedTenants,
    erased_since: BTreeSet<String>,
}

impl Store {
    /// Writes the backup `from` once more to `to`, under the root key that wraps now, without tenants that were erased since.
    /// One of the vault's keys must have signed it, and the process must have the root keys that it is under. Call
    /// [`Store::record_backup`] once it is stored safely.
    ///
    /// # Errors
    /// The backup is not whole or not of this vault, a key in it does not unwrap, or it cannot be written. What was written
    /// then is no backup.
    pub async fn rewrap_backup(
        &self,
        from: &mut (dyn std::io::Read + Send),
        to: &mut (dyn std::io::Write + Send),
        on_progress: OnBackupProgress<'_>,
    ) -> Result<BackedUp, BackupError> {
        let signer = self.signer().await?;
        let signers: Vec<_> = self.signing_keys().await?.into_iter().map(|key| key.public_key).collect();
        let (header, header_bytes) = Header::read(from)?;
        let key = backup_key(self.keyring(), &header).await?;
        let mut silent = |_: BackupProgress<'_>| {};
        let mut backup = BackupReader::open(from, &key, &header_bytes, &mut silent)?;
        let mut opening = backup.opening.clone();
        // A later release may keep keys where this one does not know of.
        let known = credvault_migrations::names();
        if let Some(unknown) = opening.migrations.iter().find(|name| !known.contains(name)) {
            return Err(BackupError::NewerRelease(unknown.clone()));
        }
        let target = self.rewrapping(&opening).await?;
        backup.leave_out(target.erased_since.clone());
        opening.erased_tenants.extend(target.erased_since.iter().cloned());

        let (key, wrapped) = self.keyring().wrap_backup_key().await.map_err(BackupError::RootKey)?;
        must_be_active(&target, &wrapped)?;
        let derivations = target.root.kdf.iter().cloned().collect();
        let header = Header::new(header.time, &header.database, signer.key_id(), &wrapped, derivations);
        let (time, database) = (header.time, header.database.clone());
        let header = header.to_bytes()?;
        let mut items = ItemWriter::begin(to, &key, &header)?;
        items.item(Kind::Opening, &to_json(&opening)?)?;
        let mut tables = Tables::new(items, on_progress);
        target.write(&mut backup, &mut tables).await?;
        // Before the end is written: what was read may be another vault's.
        backup.end(&signers)?;
        let manifest = Manifest {
            format: FORMAT,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            time,
            database,
            signing_key_id: signer.key_id().to_owned(),
            public_key: public_key_text(&signer),
            header_sha256: hash(&header),
            migrations: opening.migrations,
            tables: std::mem::take(&mut tables.done),
            root_key_ids: vec![format!("{:08x}", target.root.root_id)],
            erased_tenants: opening.erased_tenants,
            rows: tables.rows,
            row_bytes: tables.row_bytes,
        };
        finish(tables.items, manifest, &signer)
    }

    /// The root key that wraps, and the tenants whose erasure a backup does not know.
    async fn rewrapping(&self, opening: &Opening) -> Result<Rewrapping<'_>, BackupError> {
        let active = root_key::Entity::find().filter(root_key::Column::State.eq(RootState::Active.as_str()));
        let root = active.one(&self.reader()).await?.ok_or(Error::Conflict)?;
        let everywhere = self.read_background().await?;
        let erased = ErasedTenants::of(erasure::Entity::find().all(&everywhere).await?);
        everywhere.rollback().await?;
        let erased_since = erased.since(&opening.erased_tenants);
        Ok(Rewrapping { keyring: self.keyring(), root, erased, erased_since })
    }
}

/// Another root key may have become the active one at this moment.
fn must_be_active(target: &Rewrapping<'_>, wrapped: &WrappedBackupKey) -> Result<(), BackupError> {
    if i64::from(wrapped.root_id) == target.root.root_id { Ok(()) } else { Err(Error::Conflict.into()) }
}

impl Rewrapping<'_> {
    /// Copies all tables, with the keys of tenants wrapped anew.
    async fn write(
        &self,
        backup: &mut BackupReader<'_, '_>,
        tables: &mut Tables<'_, '_>,
    ) -> Result<(), BackupError> {
        let mut generation = 0;
        while let Some(table) = backup.next_table()? {
            let name = table.name.as_str();
            tables.begin(name, table.columns.clone())?;
            let mut rows = backup.rows(&table);
            match name {
                "root_keys" => generation = self.root_keys(&table, &mut rows, tables)?,
                "tenant_keys" => self.keys(&table, &mut rows, tables, generation).await?,
                "rotations" => rotations(&table, &mut rows, tables)?,
                _ => copy(name, &mut rows, tables)?,
            }
            let more = match name {
                "tenants" => Some((self.erased.tenant_rows(&self.erased_since)?, TENANT_COLUMNS.as_slice())),
                "erasures" => {
                    Some((self.erased.erasure_rows(&self.erased_since)?, ERASURE_COLUMNS.as_slice()))
                }
                _ => None,
            };
            if let Some((mut more, names)) = more {
                while let Some(row) = more.next()? {
                    tables.row(name, &arranged(&table, names, row)?)?;
                }
            }
            tables.end(name);
        }
        Ok(())
    }

    /// All root keys that the backup knows have wrapped nothing of it any more, and the one that wraps now is the newest. Gives
    /// its generation.
    fn root_keys(
        &self,
        table: &TableItem,
        rows: &mut Rows<'_, '_, '_>,
        tables: &mut Tables<'_, '_>,
    ) -> Result<i64, BackupError> {
        let (id_at, state_at) = (place(table, "root_id")?, place(table, "state")?);
        let generation_at = place(table, "generation")?;
        let mut newest = 0;
        while let Some(row) = rows.next()? {
            newest = newest.max(integer(value(row, generation_at)?)?);
            if integer(value(row, id_at)?)? != self.root.root_id {
                let retired = RootState::Retired.as_str().as_bytes();
                tables.row(&table.name, &replaced(row, &[(state_at, retired)])?)?;
            }
        }
        let generation = newest + 1;
        let root_key::Model { root_id, kind, kdf, check_value, create_time, name, .. } = &self.root;
        let numbers = [generation, *root_id, *create_time].map(i64::to_be_bytes);
        let mut made = Vec::new();
        for number in &numbers {
            put(&mut made, Some(number))?;
        }
        let rest = [
            Some(kind.as_bytes()),
            kdf.as_deref().map(str::as_bytes),
            Some(check_value.as_slice()),
            Some(name.as_bytes()),
        ];
        for value in rest {
            put(&mut made, value)?;
        }
        put(&mut made, Some(RootState::Active.as_str().as_bytes()))?;
        tables.row(&table.name, &arranged(table, &ROOT_COLUMNS, &made)?)?;
        Ok(generation)
    }

    /// The keys of tenants, several at a time, in the backup's order.
    async fn keys(
        &self,
        table: &TableItem,
        rows: &mut Rows<'_, '_, '_>,
        tables: &mut Tables<'_, '_>,
        generation: i64,
    ) -> Result<(), BackupError> {
        let at = KeyPlaces {
            tenant: place(table, "tenant_id")?,
            version: place(table, "version")?,
            root: place(table, "root_id")?,
            generation: place(table, "generation")?,
            wrapped: place(table, "wrapped")?,
        };
        loop {
            let mut held = Vec::with_capacity(KEYS_HELD);
            while held.len() < KEYS_HELD
                && let Some(row) = rows.next()?
            {
                held.push(row.to_vec());
            }
            // The rows end once, and are not asked again.
            let is_last = held.len() < KEYS_HELD;
            let mut rewrapping =
                stream::iter(held).map(|row| self.rewrapped(row, at, generation)).buffered(KEYS_AT_ONCE);
            while let Some(row) = rewrapping.try_next().await? {
                tables.row(&table.name, &row)?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// The row of one key, wrapped anew.
    async fn rewrapped(&self, row: Vec<u8>, at: KeyPlaces, generation: i64) -> Result<Vec<u8>, BackupError> {
        let tenant = TenantId::from_stored(text(value(&row, at.tenant)?)?.to_owned());
        let version = integer(value(&row, at.version)?)?;
        let broken = || BackupError::TenantKey { tenant: tenant.as_str().to_owned(), version };
        let number = u32::try_from(version).map_err(|_| broken())?;
        let anew = match self.keyring.rewrap(&tenant, number, value(&row, at.wrapped)?).await {
            Ok(anew) => anew,
            Err(credvault_crypto::Error::Integrity) => return Err(broken()),
            Err(error) => return Err(BackupError::RootKey(error)),
        };
        let root = i64::from(anew.root_id);
        if root != self.root.root_id {
            return Err(Error::Conflict.into());
        }
        let (root, generation) = (root.to_be_bytes(), generation.to_be_bytes());
        let (root, generation) = (root.as_slice(), generation.as_slice());
        replaced(&row, &[(at.root, root), (at.generation, generation), (at.wrapped, anew.bytes.as_slice())])
    }
}

/// The columns of the row of the root key that wraps, in the order in which it is made.
const ROOT_COLUMNS: [&str; 8] =
    ["generation", "root_id", "create_time", "kind", "kdf", "check_value", "name", "state"];

/// Where the columns of a tenant's key stand.
#[derive(Clone, Copy)]
struct KeyPlaces {
    tenant: usize,
    version: usize,
    root: usize,
    generation: usize,
    wrapped: usize,
}

fn copy(name: &str, rows: &mut Rows<'_, '_, '_>, tables: &mut Tables<'_, '_>) -> Result<(), BackupError> {
    while let Some(row) = rows.next()? {
        tables.row(name, row)?;
    }
    Ok(())
}

/// All but the rotation of the root key: it leads to a generation that is not the newest any more.
fn rotations(
    table: &TableItem,
    rows: &mut Rows<'_, '_, '_>,
    tables: &mut Tables<'_, '_>,
) -> Result<(), BackupError> {
    let kind_at = place(table, "kind")?;
    while let Some(row) = rows.next()? {
        if text(value(row, kind_at)?)? != RotationKind::Root.as_str() {
            tables.row(&table.name, row)?;
        }
    }
    Ok(())
}

/// A row with other values in some places.
fn replaced(row: &[u8], values: &[(usize, &[u8])]) -> Result<Vec<u8>, BackupError> {
    let mut anew = Vec::with_capacity(row.len());
    for (at, value) in Values(row).enumerate() {
        let instead = values.iter().find(|(place, _)| *place == at).map(|(_, instead)| *instead);
        put(&mut anew, instead.or(value?))?;
    }
    Ok(anew)
}

/// A row whose values stand for `names`, in the order of a table's columns; a column without one is NULL.
fn arranged(table: &TableItem, names: &[&str], row: &[u8]) -> Result<Vec<u8>, BackupError> {
    let values = Values(row).collect::<Result<Vec<_>, _>>()?;
    let mut anew = Vec::with_capacity(row.len());
    for column in &table.columns {
        let at = names.iter().position(|name| name == column);
        put(&mut anew, at.and_then(|at| values.get(at).copied().flatten()))?;
    }
    Ok(anew)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_replaced_and_arranged() {
        let mut row = Vec::new();
        for value in [Some(&b"one"[..]), None, Some(&b"three"[..])] {
            put(&mut row, value).expect("short");
        }
        let values = |row: &[u8]| -> Vec<Option<Vec<u8>>> {
            Values(row).map(|value| value.expect("readable").map(<[u8]>::to_vec)).collect()
        };
        let anew = replaced(&row, &[(1, &b"two"[..]), (2, &b""[..])]).expect("readable");
        assert_eq!(values(&anew), [Some(b"one".to_vec()), Some(b"two".to_vec()), Some(Vec::new())]);
        let columns = ["c", "new", "a"].map(str::to_owned).to_vec();
        let table = TableItem { name: "t".to_owned(), columns };
        let anew = arranged(&table, &["a", "b", "c"], &row).expect("readable");
        assert_eq!(values(&anew), [Some(b"three".to_vec()), None, Some(b"one".to_vec())]);
    }
}
