//! Taking rows of the journal that are due, and opening them. They go only with the transaction that places their records.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_audit::RecordBytes;
use credvault_domain::TenantId;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use uuid::Uuid;

use super::Sequencer;
use crate::Error;
use crate::audit::journal::lowest_id;
use crate::entity::audit_journal::{Column, Entity};
use crate::integrity::alarm;

/// How many rows a round looks at.
const ROWS: usize = 4096;
/// How many records a round takes, and perhaps a row more: enough that a tenant's records share rows, and few enough for
/// memory.
const RECORDS: i64 = 32 * 1024;
/// How old rows are that most rounds look for. Clocks of replicas differ by less.
const LATELY: Duration = Duration::from_secs(60);

/// What a round has found in the journal.
pub(super) struct Taken {
    /// The rows whose records are in `groups`.
    pub(super) ids: Vec<Uuid>,
    /// The rows that do not open.
    pub(super) spoiled: Vec<Uuid>,
    pub(super) groups: BTreeMap<TenantId, Vec<RecordBytes>>,
    /// Whether there may be more rows.
    pub(super) is_full: bool,
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.spoiled.is_empty()
    }
}

impl Sequencer {
    /// Reads rows that are due: of any age, or of the last minute. The beginning of the index is full of rows that are gone.
    pub(super) async fn take(&self, of_any_age: bool) -> Result<Taken, Error> {
        let now = self.store.now();
        let lowest = if of_any_age { Uuid::nil() } else { lowest_id(now.before(LATELY)) };
        let due = Entity::find()
            .filter(Column::DueTime.lte(now.micros()))
            .filter(Column::Id.gte(lowest))
            .order_by_asc(Column::Id);
        let heads = due.clone().select_only().column(Column::Id).column(Column::Records).limit(ROWS as u64);
        let heads: Vec<(Uuid, i64)> = heads.into_tuple().all(&self.store.reader()).await?;
        let (mut records, mut count) = (0, 0);
        for (_, of_row) in &heads {
            if records >= RECORDS {
                break;
            }
            (records, count) = (records + of_row, count + 1);
        }
        let is_full = count < heads.len() || heads.len() == ROWS;
        let Some((last, _)) = heads.get(..count).and_then(<[_]>::last) else {
            return Ok(Taken {
                ids: Vec::new(),
                spoiled: Vec::new(),
                groups: BTreeMap::new(),
                is_full: false,
            });
        };
        let rows = due.filter(Column::Id.lte(*last)).limit(count as u64).all(&self.store.reader()).await?;
        let keys = self.store.journal_keys();
        if rows.iter().any(|row| keys.get(row.key_number).is_none()) {
            // Another process has a newer key than this one.
            self.store.open_journal_key().await?;
        }
        let mut taken = Taken { ids: Vec::new(), spoiled: Vec::new(), groups: BTreeMap::new(), is_full };
        for row in rows {
            match keys.open(&row) {
                Ok(entries) => {
                    taken.ids.push(row.id);
                    for entry in entries {
                        taken.groups.entry(entry.tenant).or_default().push(entry.record);
                    }
                }
                Err(Error::Integrity) => {
                    alarm(&TenantId::platform(), "audit_journal", row.id.into_bytes());
                    taken.spoiled.push(row.id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }
}
