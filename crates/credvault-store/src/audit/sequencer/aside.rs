//! Rows of the journal that are set aside: those that open come back. They were set aside by a process that lacked their key, or
//! past the vault, to keep their records out of the logs.

use std::time::{Duration, Instant};

use credvault_domain::{TenantId, chain};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use uuid::Uuid;

use super::{Sequencer, WHOLE_INTERVAL};
use crate::Error;
use crate::entity::audit_journal::{Column, Entity};

/// How many rows one look opens.
const ROWS: u64 = 16;
/// No row waits for this long by itself.
const FAR: Duration = Duration::from_secs(3600);

impl Sequencer {
    /// Looks at the next few rows that are set aside, or due much later than any that waits, and makes those due that open.
    pub(super) async fn take_back(&mut self) -> Result<(), Error> {
        if self.looked.is_some_and(|looked| looked.elapsed() < WHOLE_INTERVAL) {
            return Ok(());
        }
        let far = self.store.now().after(FAR).micros();
        let rows = Entity::find()
            .filter(Column::DueTime.gt(far))
            .filter(Column::Id.gt(self.aside))
            .order_by_asc(Column::Id)
            .limit(ROWS)
            .all(&self.store.reader())
            .await?;
        let is_full = rows.len() as u64 == ROWS;
        self.aside = rows.last().filter(|_| is_full).map_or(Uuid::nil(), |row| row.id);
        // Behind the last row, the next look begins anew.
        self.looked = (!is_full).then(Instant::now);
        let keys = self.store.journal_keys();
        if rows.iter().any(|row| keys.get(row.key_number).is_none())
            && let Err(error) = self.store.open_journal_key().await
        {
            tracing::warn!(error = chain(&error), "keys of the audit journal could not be opened");
        }
        let opening: Vec<_> = rows.iter().filter(|row| keys.open(row).is_ok()).map(|row| row.id).collect();
        if opening.is_empty() {
            return Ok(());
        }
        let count = opening.len();
        let tx = self.store.begin_bookkeeping(&TenantId::platform()).await?;
        Entity::update_many()
            .col_expr(Column::DueTime, Expr::value(0_i64))
            .filter(Column::Id.is_in(opening))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        tracing::warn!(
            rows = count,
            "rows of the audit journal that were set aside open, and are sequenced now"
        );
        Ok(())
    }
}
