//! What a vault knows of its backups: when the last one was made, and audit records of backups and restores. They stand in the
//! platform's log and name the backup by the hash of its header, which its manifest has, too.

use credvault_domain::{Action, AuditOutcome, Random, ServiceId, TenantId, TenantSource, Timestamp, TraceId};
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::json;

use super::error::BackupError;
use super::row::{MadeRows, put};
use super::write::BackedUp;
use crate::database::pieces::execute;
use crate::database::transaction::{Access, begin};
use crate::{Error, Store};

/// Where a backup has gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackupPlace {
    /// Into a file, which has reached the disk.
    File,
    /// To the standard output, for another program.
    Stream,
}

impl BackupPlace {
    fn as_str(self) -> &'static str {
        match self {
            Self::File => "FILE",
            Self::Stream => "STREAM",
        }
    }
}

impl Store {
    /// Remembers a backup that was written to its end. Of a stream the vault does not know whether it is stored.
    ///
    /// # Errors
    /// The database fails; the backup is good nevertheless.
    pub async fn record_backup(&self, done: &BackedUp, place: BackupPlace) -> Result<(), Error> {
        let platform = TenantId::platform();
        let mut change = self.own_change(&platform).await?;
        let sql = "INSERT INTO backups (tenant_id, id, time, kind, manifest, byte_count, row_count)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let values = [
            platform.as_str().into(),
            self.new_id()?.into(),
            done.manifest.time.into(),
            place.as_str().into(),
            done.manifest_sha256.to_vec().into(),
            number(done.bytes).into(),
            number(done.manifest.rows).into(),
        ];
        execute(&change.tx, sql, values).await?;
        let mut record = self.own_event(&platform, Action::BackUp)?;
        record.changed.push(backup_name(&done.manifest.header_sha256));
        change.record(record);
        change.commit(()).await?.into_inner();
        Ok(())
    }

    /// The moment whose data the newest backup has, of all or of those in this place; `None` if there was none.
    pub(crate) async fn last_backup(&self, place: Option<BackupPlace>) -> Result<Option<Timestamp>, Error> {
        let platform = TenantId::platform();
        let tx = begin(&self.reader(), self.database(), Access::Read, &platform).await?;
        let of = place.map(|place| format!(" AND kind = '{}'", place.as_str())).unwrap_or_default();
        let sql = format!("SELECT max(time) AS time FROM backups WHERE tenant_id = $1{of}");
        let values = [platform.as_str().into()];
        let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        let row = tx.query_one_raw(asked).await?.ok_or(Error::Integrity)?;
        tx.rollback().await?;
        let time: Option<i64> = row.try_get("", "time")?;
        Ok(time.map(Timestamp::from_micros))
    }

    /// Shows the age of the newest backup. Without any there is nothing to show.
    pub(crate) async fn show_backup_age(&self) {
        match self.last_backup(None).await {
            Ok(Some(time)) => {
                let age = time.until(self.now()).as_secs_f64();
                metrics::gauge!("credvault_backup_age_seconds").set(age);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the age of the last backup could not be looked up"),
        }
    }
}

/// A backup as audit records name it.
fn backup_name(header_sha256: &str) -> String {
    format!("backups/{header_sha256}")
}

/// The columns of [`restore_record`].
pub(super) const RECORD_COLUMNS: [&str; 10] = [
    "tenant_id",
    "id",
    "time",
    "service",
    "tenant_source",
    "action",
    "changed",
    "outcome",
    "policies",
    "trace_id",
];

/// The audit record of a restore as a row of `audit_events`, which comes with the rows of the backup.
pub(super) fn restore_record(
    header_sha256: &str,
    now: Timestamp,
    random: &dyn Random,
) -> Result<MadeRows, BackupError> {
    let (mut id, mut trace) = ([0; 10], [0; 16]);
    for bytes in [&mut id[..], &mut trace[..]] {
        random.fill(bytes).map_err(|error| BackupError::RootKey(error.into()))?;
    }
    let id = uuid::Builder::from_unix_timestamp_millis(now.millis(), &id).into_uuid();
    let (service, trace) = (ServiceId::vault(), TraceId::from_bytes(trace).to_string());
    let changed = json!([backup_name(header_sha256)]).to_string();
    let time = now.micros().to_be_bytes();
    let values: [&[u8]; RECORD_COLUMNS.len()] = [
        TenantId::PLATFORM.as_bytes(),
        id.as_bytes(),
        &time,
        service.as_str().as_bytes(),
        TenantSource::None.as_str().as_bytes(),
        Action::Restore.as_str().as_bytes(),
        changed.as_bytes(),
        AuditOutcome::Ok.as_str().as_bytes(),
        b"[]",
        trace.as_bytes(),
    ];
    let mut row = Vec::new();
    for value in values {
        put(&mut row, Some(value))?;
    }
    Ok(MadeRows::new(vec![row]))
}
