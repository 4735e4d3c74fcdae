//! The end of the journal as readers see it: a caller that was answered finds its record in the next list, although it may not
//! be in its tenant's log yet.

use std::time::Duration;

use credvault_audit::RecordBytes;
use credvault_domain::TenantId;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, Statement,
};
use uuid::Uuid;

use super::journal::{LATELY, SET_ASIDE, lowest_id};
use crate::entity::audit_journal::{Column, Entity};
use crate::{Error, Store};

/// From how many rows on a reader waits for the sequencer rather than opening them all.
const MANY_ROWS: u64 = 64;
/// How long it waits at most.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How many rows a reader opens at a time, and at most.
const ROWS_AT_ONCE: u64 = 64;
const MAX_ROWS: u64 = 16_384;

impl Store {
    /// Waits until the sequencer has taken what is in the journal now, if that is much, for up to a second. Call it before the
    /// transaction that reads.
    pub(super) async fn await_sequencer(&self) -> Result<(), Error> {
        self.await_rows(MANY_ROWS).await
    }

    /// The same however little it is: what reads logs alone does not see the journal.
    pub(super) async fn await_journal(&self) -> Result<(), Error> {
        self.await_rows(0).await
    }

    /// Waits if more than `few` rows are in the journal.
    async fn await_rows(&self, few: u64) -> Result<(), Error> {
        let (db, now) = (self.reader(), self.now());
        // An older row waits for a sequencer that is far behind: no reader waits with it.
        let lowest = lowest_id(now.before(LATELY));
        let many = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::DueTime.lte(now.micros()))
            .filter(Column::Id.gte(lowest))
            .order_by_desc(Column::Id)
            .limit(few + 1);
        let ids: Vec<Uuid> = many.into_tuple().all(&db).await?;
        let Some(newest) = ids.first().filter(|_| ids.len() as u64 > few) else { return Ok(()) };
        let sql = "SELECT 1 AS one FROM audit_journal WHERE id BETWEEN $1 AND $2 AND due_time = 0 LIMIT 1";
        let gone = async {
            loop {
                let left = Statement::from_sql_and_values(
                    db.get_database_backend(),
                    sql,
                    [lowest.into(), (*newest).into()],
                );
                if db.query_one_raw(left).await?.is_none() {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        // What is not taken by then is read from the journal.
        tokio::time::timeout(PATIENCE, gone).await.unwrap_or(Ok(()))
    }

    /// The records of a tenant that are in the journal, in no order.
    pub(super) async fn journal_tail(
        &self,
        tx: &DatabaseTransaction,
        tenant: &TenantId,
    ) -> Result<Vec<RecordBytes>, Error> {
        let (mut records, mut before, mut rows) = (Vec::new(), Some(Uuid::max()), 0);
        while let Some(id) = before {
            // Rather no answer than one that lacks records.
            if rows >= MAX_ROWS {
                let waiting =
                    "too many audit records wait for the sequencer: see credvault_audit_backlog_records";
                return Err(DbErr::Custom(waiting.to_owned()).into());
            }
            let part;
            (part, before) = self.journal_part(tx, tenant, (id, ROWS_AT_ONCE)).await?;
            records.extend(part);
            rows += ROWS_AT_ONCE;
        }
        Ok(records)
    }

    /// The records of a tenant in the newest `limit` rows of the journal with lower ids than `before`, and the id before which
    /// the next rows are; none if there are no more.
    pub(super) async fn journal_part(
        &self,
        tx: &DatabaseTransaction,
        tenant: &TenantId,
        (before, limit): (Uuid, u64),
    ) -> Result<(Vec<RecordBytes>, Option<Uuid>), Error> {
        let waiting = Entity::find()
            .filter(Column::DueTime.lt(SET_ASIDE))
            .filter(Column::Id.lt(before))
            .order_by_desc(Column::Id)
            .limit(limit)
            .all(tx)
            .await?;
        let keys = self.journal_keys();
        if waiting.iter().any(|row| keys.get(row.key_number).is_none()) {
            // Another process has a newer key than this one.
            self.open_journal_key().await?;
        }
        let mut records = Vec::new();
        for row in &waiting {
            match keys.open(row) {
                Ok(entries) => {
                    let of_tenant = entries.into_iter().filter(|entry| entry.tenant == *tenant);
                    records.extend(of_tenant.map(|entry| entry.record));
                }
                // The sequencer raises the alarm and sets it aside.
                Err(Error::Integrity) => {}
                Err(error) => return Err(error),
            }
        }
        let is_full = waiting.len() as u64 == limit;
        Ok((records, waiting.last().filter(|_| is_full).map(|row| row.id)))
    }
}
