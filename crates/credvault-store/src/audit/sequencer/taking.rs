//! Taking rows of the journal that are due, and opening them. They go only with the transaction that places their records.

use credvault_domain::TenantId;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use uuid::Uuid;

use super::Sequencer;
use crate::Error;
use crate::audit::journal::{Entry, JournalKeys, LATELY, lowest_id};
use crate::entity::audit_journal::{Column, Entity, Model};
use crate::integrity::alarm;

/// How many rows a round looks at.
const ROWS: usize = 4096;
/// How many records a round takes, and perhaps a row more: enough that a tenant's records share rows.
const RECORDS: i64 = 32 * 1024;
/// How many bytes of rows a round takes, and perhaps a row more.
const BYTES: i64 = 16 * 1024 * 1024;
/// How many bytes of opened records a round takes, and perhaps a row more: what is sealed may have been packed to little.
const OPENED_BYTES: usize = 64 * 1024 * 1024;

/// What a round has found in the journal.
#[derive(Default)]
pub(super) struct Taken {
    /// The rows that open, the oldest first, with their records.
    pub(super) rows: Vec<(Uuid, Vec<Entry>)>,
    /// The rows that do not open.
    pub(super) spoiled: Vec<Uuid>,
    /// Whether there may be more rows.
    pub(super) is_full: bool,
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.spoiled.is_empty()
    }
}

impl Sequencer {
    /// Reads rows that are due: of any age, or of the last minute.
    pub(super) async fn take(&self, of_any_age: bool) -> Result<Taken, Error> {
        let now = self.store.now();
        let lowest = if of_any_age { Uuid::nil() } else { lowest_id(now.before(LATELY)) };
        let due = Entity::find()
            .filter(Column::DueTime.lte(now.micros()))
            .filter(Column::Id.gte(lowest))
            .order_by_asc(Column::Id);
        let heads = due
            .clone()
            .select_only()
            .column(Column::Id)
            .column(Column::Records)
            .expr_as(Expr::cust("CAST(length(body) AS bigint)"), "bytes")
            .limit(ROWS as u64);
        let heads: Vec<(Uuid, i64, i64)> = heads.into_tuple().all(&self.store.reader()).await?;
        let count = fitting(heads.iter().map(|(_, records, bytes)| (*records, *bytes)));
        let is_full = count < heads.len() || heads.len() == ROWS;
        let Some((last, ..)) = heads.get(..count).and_then(<[_]>::last) else { return Ok(Taken::default()) };
        let rows = due.filter(Column::Id.lte(*last)).limit(count as u64).all(&self.store.reader()).await?;
        let keys = self.store.journal_keys();
        if rows.iter().any(|row| keys.get(row.key_number).is_none()) {
            // Another process has a newer key than this one.
            self.store.open_journal_key().await?;
        }
        let taken = opened(keys, rows, OPENED_BYTES)?;
        Ok(Taken { is_full: is_full || taken.is_full, ..taken })
    }
}

/// How many of the next rows, of which each has so many records and bytes, a round takes: at least one, if there is one.
fn fitting(rows: impl Iterator<Item = (i64, i64)>) -> usize {
    let (mut records, mut bytes) = (0, 0);
    let fits = |(of_row, size): &(i64, i64)| {
        let has_room = records < RECORDS && bytes < BYTES;
        (records, bytes) = (records + of_row, bytes + size);
        has_room
    };
    rows.take_while(fits).count()
}

/// Opens rows until they have `most` bytes of records.
fn opened(keys: &JournalKeys, rows: Vec<Model>, most: usize) -> Result<Taken, Error> {
    let (mut taken, mut bytes) = (Taken::default(), 0);
    for row in rows {
        if bytes >= most {
            taken.is_full = true;
            break;
        }
        match keys.open(&row) {
            Ok(entries) => {
                bytes += entries.iter().map(Entry::bytes).sum::<usize>();
                taken.rows.push((row.id, entries));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use credvault_crypto::{AuditKey, SystemRandom};
    use credvault_domain::{Action, AuditEvent, Timestamp};

    use super::*;

    #[test]
    fn a_round_ends_by_records_and_by_bytes_and_has_one_row_at_least() {
        let count = |rows: &[(i64, i64)]| fitting(rows.iter().copied());
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[(1, 100); 10]), 10);
        assert_eq!(count(&[(RECORDS, 100), (1, 100)]), 1);
        assert_eq!(count(&[(1, BYTES + 1), (1, 1)]), 1);
        assert_eq!(count(&[(1, BYTES / 2); 10]), 2);
    }

    #[test]
    fn rows_are_opened_up_to_so_many_bytes() {
        let keys = JournalKeys::default();
        keys.add([(1, Arc::new(AuditKey::generate(&SystemRandom).expect("random")))]);
        let event = AuditEvent::of(TenantId::platform(), Action::FetchCredential);
        let entry = Entry::of(&event).expect("short");
        let row = || {
            keys.seal(std::slice::from_ref(&entry), (Timestamp::default(), 0), &SystemRandom).expect("seals")
        };
        for (most, count) in [(1, 1), (entry.bytes() + 1, 2), (usize::MAX, 3)] {
            let taken = opened(&keys, vec![row(), row(), row()], most).expect("opens");
            assert_eq!((taken.rows.len(), taken.is_full), (count, count < 3));
        }
    }
}
