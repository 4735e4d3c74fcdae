//! The whole bundles of a log that may have records of a period: walked without opening them, and read many at a time.

use std::time::Duration;

use credvault_domain::{TenantId, Timestamp};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, EntityTrait as _,
    QueryFilter as _, QueryResult, Statement,
};
use uuid::Uuid;

use super::journal::lowest_id;
use crate::Error;
use crate::entity::audit_bundle::{Column, Entity, Model};

/// How many whole bundles are looked at by one statement.
const PAGE: i64 = 1000;
/// By how much the millisecond in a record's id may be before its time. It may be long after it: the id is made at the commit, and
/// never goes back with the clock.
pub(super) const SLACK: Duration = Duration::from_secs(10);
/// How many bytes of bundles, and how many bundles, are read by one statement.
const BATCH_BYTES: i64 = 1024 * 1024;
const BATCH: usize = 64;

/// What is known of a whole bundle without opening it.
pub(super) struct Whole {
    pub(super) start: i64,
    pub(super) first_time: Option<i64>,
    pub(super) last_id: Uuid,
    pub(super) key_number: Option<i64>,
    pub(super) words: Option<Vec<u8>>,
    bytes: i64,
}

impl Whole {
    /// The first and the last microsecond in which a record of it can be.
    pub(super) fn times(&self) -> (i64, i64) {
        let slack = i64::try_from(SLACK.as_micros()).unwrap_or(i64::MAX);
        (self.first_time.unwrap_or(i64::MIN), micros_of(self.last_id).saturating_add(slack + 999))
    }
}

/// The first microsecond of the millisecond in which a UUIDv7 was made.
pub(super) fn micros_of(id: Uuid) -> i64 {
    i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX).saturating_mul(1000)
}

/// The way through them, those with the highest ids first.
pub(super) struct Wholes<'a> {
    tx: &'a DatabaseTransaction,
    tenant: &'a TenantId,
    from: Uuid,
    /// The end of the period, in microseconds.
    end: i64,
    /// Where the next ones begin: the highest id of the last one, and its place; none if there are no more.
    next: Option<(Uuid, i64)>,
}

impl<'a> Wholes<'a> {
    /// Those that may have records from `start` on and before `end`.
    pub(super) fn of(
        tx: &'a DatabaseTransaction,
        tenant: &'a TenantId,
        (start, end): (Option<Timestamp>, Option<Timestamp>),
    ) -> Self {
        Self {
            tx,
            tenant,
            from: start.map_or(Uuid::nil(), |time| lowest_id(time.before(SLACK))),
            end: end.map_or(i64::MAX, |time| time.micros()),
            next: Some((Uuid::max(), i64::MAX)),
        }
    }

    /// The next ones; empty if there are no more.
    pub(super) async fn page(&mut self) -> Result<Vec<Whole>, Error> {
        let Some((last_id, start)) = self.next.take() else { return Ok(Vec::new()) };
        let is_postgres = self.tx.get_database_backend() == DbBackend::Postgres;
        let octets = if is_postgres { "octet_length" } else { "length" };
        let sql = format!(
            "SELECT start, first_time, last_id, key_number, words, CAST(COALESCE({octets}(sealed), 0) AS bigint) AS bytes
             FROM audit_bundles
             WHERE tenant_id = $1 AND last_id IS NOT NULL AND (last_id, start) < ($2, $3) AND last_id >= $4
                AND (first_time IS NULL OR first_time < $5)
             ORDER BY last_id DESC, start DESC LIMIT $6"
        );
        let values = [
            self.tenant.as_str().into(),
            last_id.into(),
            start.into(),
            self.from.into(),
            self.end.into(),
            PAGE.into(),
        ];
        let asked = Statement::from_sql_and_values(self.tx.get_database_backend(), sql, values);
        let rows = self.tx.query_all_raw(asked).await?;
        let found: Vec<_> = rows.iter().map(whole).collect::<Result<_, _>>()?;
        let is_full = i64::try_from(found.len()) == Ok(PAGE);
        self.next = found.last().filter(|_| is_full).map(|last| (last.last_id, last.start));
        Ok(found)
    }
}

fn whole(row: &QueryResult) -> Result<Whole, Error> {
    Ok(Whole {
        start: row.try_get("", "start")?,
        first_time: row.try_get("", "first_time")?,
        last_id: row.try_get("", "last_id")?,
        key_number: row.try_get("", "key_number")?,
        words: row.try_get("", "words")?,
        bytes: row.try_get("", "bytes")?,
    })
}

/// How many of the next bundles are read by one statement: at least one.
fn fitting(wholes: &[Whole]) -> usize {
    let mut bytes = 0_i64;
    let fits = |whole: &&Whole| {
        bytes = bytes.saturating_add(whole.bytes);
        bytes <= BATCH_BYTES
    };
    wholes.iter().take(BATCH).take_while(fits).count().max(1)
}

/// Takes the next bundles that are read by one statement from the front of `wholes`, and reads them.
pub(super) async fn next_rows(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    wholes: &mut &[Whole],
) -> Result<Vec<Model>, DbErr> {
    let (these, rest) = wholes.split_at_checked(fitting(wholes)).unwrap_or((wholes, &[]));
    *wholes = rest;
    let rows = Entity::find()
        .filter(Column::TenantId.eq(tenant.as_str()))
        .filter(Column::Start.is_in(these.iter().map(|whole| whole.start)));
    rows.all(tx).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(start: i64, bytes: i64) -> Whole {
        let id = lowest_id(Timestamp::from_micros(5_000_000_123));
        Whole { start, first_time: Some(5_000_000_123), last_id: id, key_number: None, words: None, bytes }
    }

    #[test]
    fn few_bytes_are_read_by_one_statement_and_one_bundle_at_least() {
        let of = |sizes: &[i64]| fitting(&sizes.iter().map(|bytes| whole(0, *bytes)).collect::<Vec<_>>());
        assert_eq!((of(&[BATCH_BYTES + 1, 1]), of(&[BATCH_BYTES - 1, 1, 1]), of(&[1; 200])), (1, 2, BATCH));
    }

    #[test]
    fn a_bundle_has_times_from_its_first_to_those_of_its_ids_and_a_little_more() {
        let (first, last) = whole(0, 0).times();
        assert!(first == 5_000_000_123 && last > 5_000_000_999, "{first} {last}");
        assert_eq!(micros_of(whole(0, 0).last_id), 5_000_000_000);
    }
}
