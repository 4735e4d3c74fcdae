//! What a vault knows of its backups: when the last one was made.

use credvault_domain::{TenantId, Timestamp};
use sea_orm::{ConnectionTrait as _, Statement};

use super::write::BackedUp;
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
    /// Remembers a backup that was written to its end and is stored.
    ///
    /// # Errors
    /// The database fails; the backup is good nevertheless.
    pub async fn record_backup(&self, done: &BackedUp, place: BackupPlace) -> Result<(), Error> {
        let platform = TenantId::platform();
        let tx = self.begin_bookkeeping(&platform).await?;
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
        tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The moment whose data the newest backup has; `None` if there was none.
    async fn last_backup(&self) -> Result<Option<Timestamp>, Error> {
        let platform = TenantId::platform();
        let tx = begin(&self.reader(), self.database(), Access::Read, &platform).await?;
        let sql = "SELECT max(time) AS time FROM backups WHERE tenant_id = $1";
        let values = [platform.as_str().into()];
        let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        let row = tx.query_one_raw(asked).await?.ok_or(Error::Integrity)?;
        tx.rollback().await?;
        let time: Option<i64> = row.try_get("", "time")?;
        Ok(time.map(Timestamp::from_micros))
    }

    /// Shows the age of the newest backup. Without any there is nothing to show.
    pub(crate) async fn show_backup_age(&self) {
        match self.last_backup().await {
            Ok(Some(time)) => {
                let age = time.until(self.now()).as_secs_f64();
                metrics::gauge!("credvault_backup_age_seconds").set(age);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the age of the last backup could not be looked up"),
        }
    }
}
