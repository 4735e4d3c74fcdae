//! The archive: before old records are removed, they are written to a file that is verified without the vault, one export for
//! each part of a log. A file that has its name is whole: it is written under another one, synced, and renamed then.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use credvault_audit::{ExportWriter, Selection, SignedCheckpoint, TILE_WIDTH, TileId};
use credvault_domain::TenantId;
use sea_orm::{DbErr, EntityTrait as _};

use super::keys::audit_keys;
use super::pieces::opened;
use super::tree::read_tiles;
use super::whole::BUNDLE_RECORDS;
use crate::database::transaction::{Access, begin};
use crate::entity::audit_bundle;
use crate::integrity::alarm;
use crate::{Error, Store};

/// The archive of a tenant's log.
pub(super) struct Archive<'a> {
    pub(super) store: &'a Store,
    pub(super) tenant: &'a TenantId,
    /// The folder of all archives.
    pub(super) folder: PathBuf,
}

impl Archive<'_> {
    /// Writes the whole bundles at some places of the log. The file proves them by the checkpoint.
    ///
    /// # Errors
    /// A record does not open or is not the one that was hashed; the file cannot be written; the database fails.
    pub(super) async fn write(&self, checkpoint: SignedCheckpoint, part: Range<i64>) -> Result<(), Error> {
        let range = part.start.unsigned_abs()..part.end.unsigned_abs();
        let selection = Selection { range: range.clone(), is_complete: true };
        let writer = ExportWriter::begin(checkpoint, selection, Vec::new());
        let mut writer = writer.ok_or(Error::Integrity)?;
        let mut file = Unfinished::begin(&self.folder_of_tenant(), &range, self.store).await?;
        let mut lines = vec![writer.header_line()];
        let edge = writer.edge();
        lines.extend(self.tile_lines(&writer, &edge).await?);
        file.add(lines).await?;
        for start in part.step_by(TILE_WIDTH) {
            let lines = self.bundle_lines(&mut writer, start).await?;
            file.add(lines).await?;
        }
        let after = writer.after();
        let mut lines = self.tile_lines(&writer, &after).await?;
        lines.push(writer.end_line());
        file.add(lines).await?;
        file.finish().await
    }

    fn folder_of_tenant(&self) -> PathBuf {
        if self.tenant.is_platform() {
            return self.folder.join("platform");
        }
        // Ids may differ by case alone, which some file systems do not tell apart.
        let mut name = String::new();
        for letter in self.tenant.as_str().chars() {
            if letter.is_ascii_uppercase() {
                name.push('+');
            }
            name.push(letter.to_ascii_lowercase());
        }
        self.folder.join("tenants").join(name)
    }

    /// The lines of a bundle's records, with the hashes that come before them.
    async fn bundle_lines(&self, writer: &mut ExportWriter, start: i64) -> Result<Vec<String>, Error> {
        let (tx, keys, _) =
            self.store.begin_with_keys(&self.store.reader(), Access::Read, self.tenant).await?;
        let keys = audit_keys(&tx, self.tenant, &keys).await?;
        let key = (self.tenant.as_str().to_owned(), start);
        // Another replica has removed it meanwhile.
        let row = audit_bundle::Entity::find_by_id(key).one(&tx).await?.ok_or(Error::Conflict)?;
        let bundle = opened(self.tenant, &row, &keys)?;
        let tile = TileId { level: 0, index: (start / BUNDLE_RECORDS).unsigned_abs() };
        let leaves = read_tiles(&tx, self.tenant, &[], &[tile]).await?;
        tx.rollback().await?;
        let leaves = leaves.hashes(tile, TILE_WIDTH).map_err(|_| self.altered())?;
        let mut lines = Vec::new();
        for (place, leaf) in leaves.iter().enumerate() {
            let index = start.unsigned_abs() + place as u64;
            let entry = bundle.entry(place).filter(|entry| entry.leaf() == *leaf);
            let entry = entry.ok_or_else(|| self.altered())?;
            let before = writer.before(index);
            lines.extend(self.tile_lines(writer, &before).await?);
            // One of a later release is removed by a replica of that release.
            lines.push(writer.record_line(index, &entry).map_err(|_| Error::Conflict)?);
        }
        Ok(lines)
    }

    async fn tile_lines(&self, writer: &ExportWriter, needed: &[TileId]) -> Result<Vec<String>, Error> {
        if needed.is_empty() {
            return Ok(Vec::new());
        }
        let tx = begin(&self.store.reader(), self.store.database(), Access::Read, self.tenant).await?;
        let tiles = read_tiles(&tx, self.tenant, &[], needed).await?;
        tx.rollback().await?;
        let lines = needed.iter().map(|tile| writer.tile_line(*tile, &tiles));
        lines.collect::<Result<_, _>>().map_err(|_| self.altered())
    }

    fn altered(&self) -> Error {
        alarm(self.tenant, "audit_log", [0; 16]);
        Error::Integrity
    }
}

/// A file that does not have its name yet.
struct Unfinished {
    file: File,
    folder: PathBuf,
    /// The name that it has, and the one that it will have.
    names: (PathBuf, PathBuf),
}

impl Unfinished {
    async fn begin(folder: &Path, range: &Range<u64>, store: &Store) -> Result<Self, Error> {
        // In the order of their names, files are in the order of the log.
        let name = format!("{:020}-{:020}.jsonl", range.start, range.end);
        let names = (folder.join(format!(".{name}.{}", store.process())), folder.join(name));
        let folder = folder.to_owned();
        blocking(move || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            // One that this process has left is of no use.
            let file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&names.0)?;
            Ok(Self { file, folder, names })
        })
        .await
    }

    async fn add(&mut self, lines: Vec<String>) -> Result<(), Error> {
        let mut file = self.file.try_clone().map_err(failed)?;
        blocking(move || {
            let mut text = String::new();
            lines.iter().for_each(|line| text.extend([line.trim_end_matches('\n'), "\n"]));
            file.write_all(text.as_bytes())
        })
        .await
    }

    /// Makes it durable, and gives it its name.
    async fn finish(self) -> Result<(), Error> {
        let Self { file, folder, names: (unfinished, name) } = self;
        blocking(move || {
            file.sync_all()?;
            std::fs::rename(unfinished, name)?;
            File::open(folder)?.sync_all()
        })
        .await
    }
}

fn failed(error: std::io::Error) -> Error {
    DbErr::Custom(format!("the archive of old audit records (audit.archive) cannot be written: {error}"))
        .into()
}

/// Does what waits for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other);
    done.and_then(|result| result).map_err(failed)
}
