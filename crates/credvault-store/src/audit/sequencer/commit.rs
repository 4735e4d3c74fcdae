//! The one transaction of a round, and what shows how far the sequencer is behind.

use std::time::{Duration, Instant};

use credvault_domain::{TenantId, Timestamp};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    Statement,
};
use uuid::Uuid;

use super::placing::Placed;
use super::{Sequencer, WHOLE_INTERVAL};
use crate::Error;
use crate::audit::journal::{self, SET_ASIDE};
use crate::audit::lease;
use crate::audit::pieces::{allow_sequencing, insert};
use crate::database::transaction::begin_write;
use crate::entity::audit_journal::{Column, Entity};
use crate::error::of_the_statement;
use crate::integrity::alarm;

/// How long records of a tenant wait whose rows the database refuses.
const REFUSED: Duration = Duration::from_secs(300);

impl Sequencer {
    /// Appends what is due to its logs. Gives how many records those were, and whether there may be more.
    pub(super) async fn append_due(&mut self, epoch: i64) -> Result<(u64, bool), Error> {
        let store = self.store.clone();
        let (placed, is_full) = lease::beside(&store, epoch, self.prepare()).await?;
        let records = match placed {
            Some(placed) => self.commit(epoch, placed).await?,
            None => 0,
        };
        Ok((records, is_full))
    }

    /// Takes what is due, if anything is, and finds its places. Gives whether there may be more.
    async fn prepare(&mut self) -> Result<(Option<Placed>, bool), Error> {
        self.take_back().await?;
        let is_whole = self.whole.is_none_or(|whole| whole.elapsed() >= WHOLE_INTERVAL);
        let taken = self.take(is_whole).await?;
        if is_whole && !taken.is_full {
            self.whole = Some(Instant::now());
        }
        let is_full = taken.is_full;
        let placed = if taken.is_empty() { None } else { Some(self.place(taken).await?) };
        Ok((placed, is_full))
    }

    /// Writes a round and keeps the ends of its logs. Gives the number of records that it has appended.
    async fn commit(&mut self, epoch: i64, placed: Placed) -> Result<u64, Error> {
        let tx = match self.write(epoch, &placed).await {
            Ok(tx) => tx,
            Err(Error::Unavailable(error)) if of_the_statement(&error) => {
                // The first time, what this process believed may have been out of date.
                self.ends.forget(placed.tenants());
                self.failures += 1;
                if self.failures > 1 {
                    self.find_refused(&placed).await;
                }
                return Err(Error::Unavailable(error));
            }
            Err(error) => return Err(error),
        };
        // A commit that fails may have succeeded.
        self.ends.forget(placed.tenants());
        tx.commit().await?;
        self.failures = 0;
        // The transaction has extended the lease.
        self.asked = Some(Instant::now());
        metrics::counter!("credvault_audit_sequenced_total").increment(placed.records);
        self.to_fold.extend(placed.to_fold);
        self.ends.keep(placed.ends);
        Ok(placed.records)
    }

    /// Writes all of it, if the lease is still this epoch's, and gives the transaction to be committed.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the lease is another's.
    async fn write(&self, epoch: i64, placed: &Placed) -> Result<DatabaseTransaction, Error> {
        let (store, database) = (&self.store, self.store.database());
        let tx = begin_write(&store.writer(), database, &TenantId::platform()).await?;
        lease::extend(store, &tx, epoch).await?;
        if !placed.spoiled.is_empty() {
            Entity::update_many()
                .col_expr(Column::DueTime, Expr::value(SET_ASIDE))
                .filter(Column::Id.is_in(placed.spoiled.iter().copied()))
                .exec(&tx)
                .await?;
        }
        for (due_time, ids) in &placed.resting {
            Entity::update_many()
                .col_expr(Column::DueTime, Expr::value(*due_time))
                .filter(Column::Id.is_in(ids.iter().copied()))
                .exec(&tx)
                .await?;
        }
        if journal::delete(&tx, database, &placed.ids).await? != placed.ids.len() as u64 {
            return Err(Error::Conflict);
        }
        allow_sequencing(&tx, database).await?;
        insert(&tx, database, &placed.rows.bundles, &placed.rows.tiles).await?;
        journal::insert(&tx, placed.waiting.clone()).await?;
        Ok(tx)
    }

    /// Finds the tenants whose rows the database refuses, each tried alone and undone: their records wait, so that those of
    /// others need not.
    async fn find_refused(&mut self, placed: &Placed) {
        for rows in placed.rows.bundles.chunk_by(|one, next| one.tenant_id == next.tenant_id) {
            let Some(row) = rows.first() else { continue };
            let of_tenant = placed.rows.tiles.iter().filter(|tile| tile.tenant_id == row.tenant_id);
            let tiles: Vec<_> = of_tenant.cloned().collect();
            let (store, database) = (&self.store, self.store.database());
            let tried = async {
                let tx = begin_write(&store.writer(), database, &TenantId::platform()).await?;
                allow_sequencing(&tx, database).await?;
                insert(&tx, database, rows, &tiles).await?;
                tx.rollback().await
            };
            if let Err(error) = tried.await
                && of_the_statement(&error)
            {
                let tenant = TenantId::from_stored(row.tenant_id.clone());
                alarm(&tenant, "audit_log", [0; 16]);
                self.refused.insert(tenant, Instant::now() + REFUSED);
            }
        }
    }

    /// Shows how many records are not sequenced, and since when the oldest of those that are due waits.
    pub(super) async fn show_backlog(&self) -> Result<(), Error> {
        let (db, now) = (self.store.reader(), self.store.now());
        let backend = db.get_database_backend();
        let sum = |condition: &str, what: &str| {
            format!("CAST(coalesce(sum(CASE WHEN {condition} THEN {what} ELSE 0 END), 0) AS bigint)")
        };
        let sql = format!(
            "SELECT {} AS due, {} AS waiting, {} AS aside FROM audit_journal",
            sum("due_time <= $1", "records"),
            sum("due_time > $1 AND due_time < $2", "records"),
            sum("due_time = $2", "1"),
        );
        let asked = Statement::from_sql_and_values(backend, sql, [now.micros().into(), SET_ASIDE.into()]);
        let row = db.query_one_raw(asked).await?.ok_or(Error::Integrity)?;
        let oldest = "SELECT id FROM audit_journal WHERE due_time <= $1 ORDER BY id LIMIT 1";
        let oldest = Statement::from_sql_and_values(backend, oldest, [now.micros().into()]);
        let age = match db.query_one_raw(oldest).await? {
            Some(row) => time_of(row.try_get("", "id")?).until(now),
            None => Duration::ZERO,
        };
        let shown = |number: i64| u32::try_from(number).map_or(f64::INFINITY, f64::from);
        metrics::gauge!("credvault_audit_backlog_records").set(shown(row.try_get("", "due")?));
        metrics::gauge!("credvault_audit_backlog_seconds").set(age.as_secs_f64());
        metrics::gauge!("credvault_audit_waiting_records").set(shown(row.try_get("", "waiting")?));
        metrics::gauge!("credvault_audit_quarantined_rows").set(shown(row.try_get("", "aside")?));
        Ok(())
    }
}

/// The millisecond in which a UUIDv7 was made.
fn time_of(id: Uuid) -> Timestamp {
    let millis = i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX);
    Timestamp::from_micros(millis.saturating_mul(1000))
}
