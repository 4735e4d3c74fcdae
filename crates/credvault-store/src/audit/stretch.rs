//! A log read in the order of its indexes, stretch by stretch, as tails and exports read it. A stretch has bounded work and
//! memory, whatever the log has; what follows is read by the next one, from where this one has come to.

use std::collections::VecDeque;
use std::ops::Range;

use credvault_audit::{Bundle, Entry, Record, TILE_WIDTH};
use credvault_domain::{TenantId, TenantScope};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QueryResult, Statement,
};
use uuid::Uuid;

use super::filter::{AuditFilter, Wanted};
use super::journal::lowest_id;
use super::keys::{AuditKeys, audit_keys};
use super::pieces::{column, opened, size};
use super::record::{AuditRecord, of_log};
use super::wholes::SLACK;
use crate::database::session::served;
use crate::database::tenant_keys::tenant_row;
use crate::database::transaction::{Access, begin};
use crate::entity::audit_bundle::{Column, Entity, Model};
use crate::integrity::alarm;
use crate::{Audit, Error, Unproved, Weighed as _};

/// About how many bytes of records a stretch has at most; it has one record at least.
const STRETCH_BYTES: usize = 256 * 1024;
/// How many rows of a log one statement looks at, without what is sealed.
const HEADS_AT_ONCE: i64 = 512;
/// How many rows a stretch looks at.
const MAX_HEADS: usize = 8 * 512;
/// How many rows a stretch opens.
const MAX_OPENED: usize = 64;

/// Which indexes of a log can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogBounds {
    /// The index of the first record that is kept.
    pub first: u64,
    /// The index that the next record gets.
    pub end: u64,
}

impl LogBounds {
    /// Refuses an index from which nothing can be read. The end is one from which it can be read later.
    ///
    /// # Errors
    /// [`Unproved::Position`] says which indexes there are.
    pub fn check(self, index: u64) -> Result<(), Error> {
        let Self { first, end } = self;
        if (first..=end).contains(&index) {
            Ok(())
        } else {
            Err(Error::Unproved(Unproved::Position { first, end }))
        }
    }
}

/// A record at its place in the log.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// The place of the record in the log.
    pub index: u64,
    /// The record with its blinding, as the tree has it.
    pub entry: Entry,
    /// The same record, to be shown.
    pub record: AuditRecord,
}

/// Records of a log, in the order of their indexes.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// The records that were wanted.
    pub entries: Vec<LogEntry>,
    /// The index up to which all were looked at: the next stretch begins there.
    pub next: u64,
}

impl Audit<'_> {
    /// Which indexes of a tenant's log can be read. A suspended tenant's log can be, too.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn bounds(&self, scope: &TenantScope) -> Result<LogBounds, Error> {
        let tx = self.store.look(scope.tenant()).await?;
        let found = bounds(&tx, scope.tenant()).await?;
        tx.rollback().await?;
        Ok(found)
    }

    /// The index that the next record of a log gets, for a tenant that is served. `seen` is an end that was found before.
    ///
    /// # Errors
    /// The tenant is suspended or does not exist; [`Error::Integrity`] if the log is shorter than it was; the database fails.
    pub async fn end(&self, scope: &TenantScope, seen: u64) -> Result<u64, Error> {
        let (store, tenant) = (self.store, scope.tenant());
        let tx = begin(&store.reader(), store.database(), Access::Read, tenant).await?;
        let state = tenant_row(&tx, tenant).await?.state;
        let end = size(&tx, tenant).await?.map_or(0, |(size, _)| size.unsigned_abs());
        tx.rollback().await?;
        served(tenant, state)?;
        if end < seen { Err(altered(tenant)) } else { Ok(end) }
    }

    /// The next records of a log, from the beginning of `range` on, that a scope reaches and a filter wants. Records of a later
    /// release, which this one cannot read, are left out.
    ///
    /// # Errors
    /// [`Unproved::Position`] if the range begins before what is kept; [`Error::Integrity`] if a row does not open, or one is
    /// missing; the tenant's key does not unwrap, or the database fails.
    pub async fn stretch(
        &self,
        scope: &TenantScope,
        filter: &AuditFilter,
        range: Range<u64>,
    ) -> Result<Stretch, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let keys = audit_keys(&reading.tx, scope.tenant(), &reading.keys).await?;
        let walk = Walk {
            tx: &reading.tx,
            tenant: scope.tenant(),
            keys,
            wanted: Wanted::new(scope, filter),
            from: filter.start_time.map_or(Uuid::nil(), |time| lowest_id(time.before(SLACK))),
            before: filter.end_time.map(|time| time.micros()),
            end: range.end,
            next: range.start,
            entries: Vec::new(),
            bytes: 0,
        };
        walk.run().await
    }
}

async fn bounds(tx: &DatabaseTransaction, tenant: &TenantId) -> Result<LogBounds, Error> {
    let sql = "SELECT min(start) AS first FROM audit_bundles WHERE tenant_id = $1";
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [tenant.as_str().into()]);
    let first: Option<i64> = match tx.query_one_raw(asked).await? {
        Some(row) => row.try_get("", "first")?,
        None => None,
    };
    let end = size(tx, tenant).await?.map_or(0, |(size, _)| size.unsigned_abs());
    Ok(LogBounds { first: first.map_or(end, i64::unsigned_abs), end })
}

/// Raises the alarm about a log whose rows are not as they were.
fn altered(tenant: &TenantId) -> Error {
    alarm(tenant, "audit_log", [0; 16]);
    Error::Integrity
}

/// What is known of a row without opening it.
struct Head {
    start: i64,
    records: i64,
    key_number: Option<i64>,
    first_time: Option<i64>,
    last_id: Option<Uuid>,
    words: Option<Vec<u8>>,
}

impl Head {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.records).unsigned_abs()
    }
}

/// One stretch while it is read.
struct Walk<'a> {
    tx: &'a DatabaseTransaction,
    tenant: &'a TenantId,
    keys: AuditKeys,
    wanted: Wanted<'a>,
    /// Bundles whose ids are all lower have no record that is wanted.
    from: Uuid,
    /// Bundles whose records are all of this time, in microseconds, or later have none either.
    before: Option<i64>,
    end: u64,
    next: u64,
    entries: Vec<LogEntry>,
    bytes: usize,
}

impl Walk<'_> {
    async fn run(mut self) -> Result<Stretch, Error> {
        let (mut looked, mut read) = (0, 0);
        let mut ahead = VecDeque::new();
        while self.next < self.end && looked < MAX_HEADS && read < MAX_OPENED {
            if ahead.is_empty() {
                ahead = self.heads().await?;
            }
            let Some(head) = ahead.pop_front() else { return Err(self.missing().await?) };
            // Rows follow each other without a gap; only the first may begin before.
            if head.end() <= self.next || head.start.unsigned_abs() > self.next {
                return Err(self.missing().await?);
            }
            looked += 1;
            if !self.may_have(&head)? {
                self.next = head.end();
                continue;
            }
            read += 1;
            let row = self.row().await?;
            // Pieces may have been joined since: then more rows are looked at anew.
            if row.start != head.start || row.records != head.records {
                ahead.clear();
            }
            if !self.take(&row)? {
                break;
            }
        }
        Ok(Stretch { entries: self.entries, next: self.next.min(self.end) })
    }

    /// The rows from the next index on, oldest first.
    async fn heads(&self) -> Result<VecDeque<Head>, Error> {
        let sql = "SELECT start, records, key_number, first_time, last_id, words FROM audit_bundles
            WHERE tenant_id = $1 AND start >= COALESCE(
                (SELECT max(b.start) FROM audit_bundles b WHERE b.tenant_id = $1 AND b.start <= $2), 0)
            ORDER BY start LIMIT $3";
        let values = [self.tenant.as_str().into(), column(self.next).into(), HEADS_AT_ONCE.into()];
        let asked = Statement::from_sql_and_values(self.tx.get_database_backend(), sql, values);
        let head = |row: &QueryResult| {
            Ok(Head {
                start: row.try_get("", "start")?,
                records: row.try_get("", "records")?,
                key_number: row.try_get("", "key_number")?,
                first_time: row.try_get("", "first_time")?,
                last_id: row.try_get("", "last_id")?,
                words: row.try_get("", "words")?,
            })
        };
        self.tx.query_all_raw(asked).await?.iter().map(head).collect()
    }

    /// Whether a row may have a record that is wanted.
    fn may_have(&mut self, head: &Head) -> Result<bool, Error> {
        // Only whole bundles say what they have.
        let (Some(first), Some(last)) = (head.first_time, head.last_id) else { return Ok(true) };
        if last < self.from || self.before.is_some_and(|before| first >= before) {
            return Ok(false);
        }
        let Some(number) = head.key_number else { return Ok(true) };
        let key = self.keys.get(&number).and_then(Option::as_ref).ok_or(Error::Integrity)?;
        Ok(self.wanted.may_be_in(head.words.as_deref(), number, key))
    }

    /// The row with the record at the next index.
    async fn row(&self) -> Result<Model, Error> {
        let row = Entity::find()
            .filter(Column::TenantId.eq(self.tenant.as_str()))
            .filter(Column::Start.lte(column(self.next)))
            .order_by_desc(Column::Start)
            .one(self.tx)
            .await?;
        let has_next = |row: &Model| row.start.saturating_add(row.records) > column(self.next);
        match row.filter(has_next) {
            Some(row) => Ok(row),
            None => Err(self.missing().await?),
        }
    }

    /// Takes the records of a row from the next index on. Gives whether there is room for more.
    fn take(&mut self, row: &Model) -> Result<bool, Error> {
        let bundle = opened(self.tenant, row, &self.keys)?;
        let end = row.start.saturating_add(row.records).unsigned_abs().min(self.end);
        while self.next < end {
            if let Some(entry) = self.entry(&bundle)? {
                self.bytes += entry.record.weight();
                if self.bytes > STRETCH_BYTES && !self.entries.is_empty() {
                    return Ok(false);
                }
                self.entries.push(entry);
            }
            self.next += 1;
        }
        Ok(true)
    }

    /// The record at the next index, if it is wanted.
    fn entry(&self, bundle: &Bundle) -> Result<Option<LogEntry>, Error> {
        let place = usize::try_from(self.next % TILE_WIDTH as u64).unwrap_or(TILE_WIDTH);
        let entry = bundle.entry(place).ok_or(Error::Integrity)?;
        let record = match Record::decode(&entry.record) {
            Ok(record) => of_log(record, Some(column(self.next)))?,
            Err(error) => {
                // While releases change, a newer one may write what this one does not read.
                tracing::warn!(%error, tenant = %self.tenant, "an audit record cannot be shown");
                return Ok(None);
            }
        };
        let is_wanted = self.wanted.has(&record);
        Ok(is_wanted.then_some(LogEntry { index: self.next, entry, record }))
    }

    /// Why the record at the next index is not there: it is not kept any more, or the log was altered.
    async fn missing(&self) -> Result<Error, Error> {
        let LogBounds { first, end } = bounds(self.tx, self.tenant).await?;
        Ok(if self.next < first {
            Error::Unproved(Unproved::Position { first, end })
        } else {
            altered(self.tenant)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_from_where_something_is_or_will_be() {
        let bounds = LogBounds { first: 3, end: 5 };
        for index in 3..=5 {
            assert!(bounds.check(index).is_ok(), "{index}");
        }
        for index in [0, 2, 6] {
            let refused = bounds.check(index);
            assert!(
                matches!(refused, Err(Error::Unproved(Unproved::Position { first: 3, end: 5 }))),
                "{index}"
            );
        }
    }
}
