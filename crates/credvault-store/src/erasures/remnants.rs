//! What SQLite's files still hold of erased tenants. What was deleted is overwritten in any case, but not the copies that SQLite
//! leaves where it has moved a row within a page, nor those in the write-ahead log. So the file is rewritten: by upkeep, for
//! every change waits while that lasts, and once for all erasures that have ended by then.

use credvault_domain::TenantId;
use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement};

use crate::database::pieces::execute;
use crate::{Database, Error, Store};

/// The note of a file that was rewritten and whose write-ahead log still has to be emptied.
const LOG_LEFT: i64 = -1;

/// Notes, with the transaction, that the file is to be rewritten. The note is a number in the file's own header, which SQLite
/// leaves to its users: how many erasures have ended since the file was rewritten, or [`LOG_LEFT`].
///
/// # Errors
/// The database fails.
pub(super) async fn owe_rewriting(database: Database, tx: &DatabaseTransaction) -> Result<(), Error> {
    if database == Database::Sqlite {
        note(tx, owed(tx).await?.max(0).saturating_add(1)).await?;
    }
    Ok(())
}

/// How many erasures have ended since the file was rewritten, or [`LOG_LEFT`].
async fn owed<C: ConnectionTrait>(db: &C) -> Result<i64, Error> {
    let asked = Statement::from_string(db.get_database_backend(), "PRAGMA user_version");
    let row = db.query_one_raw(asked).await?.ok_or(Error::Integrity)?;
    Ok(row.try_get("", "user_version")?)
}

async fn note(tx: &DatabaseTransaction, owed: i64) -> Result<(), Error> {
    execute(tx, &format!("PRAGMA user_version = {owed}"), []).await?;
    Ok(())
}

impl Store {
    /// SQLite: rewrites the database's file if an erasure has ended since that was done last.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a reader needs what is to go; the file system has no room, or the database fails. It is tried
    /// again with the next upkeep.
    pub(super) async fn rewrite_owed(&self) -> Result<(), Error> {
        if self.database() != Database::Sqlite {
            return Ok(());
        }
        let ended = owed(&self.writer()).await?;
        if ended == 0 {
            return Ok(());
        }
        if ended != LOG_LEFT {
            // A reader has the old content before its eyes. The file is not rewritten for nothing then: that would add all of
            // it to the log, and the next attempt once more.
            self.empty_log().await?;
            self.writer().execute_unprepared("VACUUM").await?;
            // A reader that has begun meanwhile keeps the log from being emptied; the file is not rewritten again for that.
            self.replace_note(ended, LOG_LEFT).await?;
        }
        self.empty_log().await?;
        self.replace_note(LOG_LEFT, 0).await?;
        tracing::info!("the database's file was rewritten, without remnants of erased tenants");
        Ok(())
    }

    /// Replaces a note, unless an erasure has ended meanwhile: that is owed another time.
    async fn replace_note(&self, from: i64, to: i64) -> Result<(), Error> {
        let tx = self.begin_bookkeeping(&TenantId::platform()).await?;
        if owed(&tx).await? == from {
            note(&tx, to).await?;
        }
        Ok(tx.commit().await?)
    }

    /// SQLite: empties the write-ahead log.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a reader still needs it.
    async fn empty_log(&self) -> Result<(), Error> {
        let db = self.writer();
        let checkpoint = Statement::from_string(db.get_database_backend(), "PRAGMA wal_checkpoint(TRUNCATE)");
        let row = db.query_one_raw(checkpoint).await?.ok_or(Error::Integrity)?;
        if row.try_get::<i64>("", "busy")? == 0 { Ok(()) } else { Err(Error::Conflict) }
    }
}
