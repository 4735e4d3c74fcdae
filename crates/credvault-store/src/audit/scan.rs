//! Reading a tenant's records from everywhere they may be, in an order in which none is missed: what moves from one place to
//! the next meanwhile is seen twice, and told apart by its id.

use std::collections::{BTreeMap, VecDeque};

use credvault_audit::{Record, RecordBytes};
use credvault_domain::{TenantId, TenantScope};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, EntityTrait as _, QueryResult, Statement};
use uuid::Uuid;

use super::filter::{AuditFilter, Wanted};
use super::journal::lowest_id;
use super::keys::{AuditKeys, audit_keys};
use super::old;
use super::pieces::{opened, pieces, size};
use super::record::{AuditRecord, of_log};
use super::wholes::SLACK;
use crate::database::session::Reading;
use crate::entity::audit_bundle::{Entity, Model};
use crate::{Error, Store};

/// How many whole bundles are looked at by one statement.
const WHOLES_AT_ONCE: i64 = 1000;

/// A query of one tenant's log.
pub(super) struct Scan<'a> {
    tenant: &'a TenantId,
    tx: &'a DatabaseTransaction,
    keys: AuditKeys,
    wanted: Wanted<'a>,
    /// Records with this id, or a higher one, are not wanted.
    before: Uuid,
    /// Records with a lower id are not wanted.
    from: Uuid,
    /// Records of this time, in microseconds, or later are not wanted.
    end: i64,
    /// The next whole bundles, those with the highest ids first.
    ahead: VecDeque<Whole>,
    /// Where the whole bundles behind them begin: the highest id of the last one, and its place; none if there are no more.
    next: Option<(Uuid, i64)>,
}

/// What is known of a whole bundle without opening it.
struct Whole {
    start: i64,
    last_id: Uuid,
    key_number: Option<i64>,
    words: Option<Vec<u8>>,
}

impl<'a> Scan<'a> {
    pub(super) async fn begin(
        reading: &'a Reading,
        (scope, filter): (&'a TenantScope, &'a AuditFilter),
        before: Option<Uuid>,
    ) -> Result<Self, Error> {
        let keys = audit_keys(&reading.tx, scope.tenant(), &reading.keys).await?;
        Ok(Self {
            tenant: scope.tenant(),
            tx: &reading.tx,
            keys,
            wanted: Wanted::new(scope, filter),
            before: before.unwrap_or(Uuid::max()),
            // Ids begin with the millisecond of the commit, which may be after the record's time and is not before it.
            from: filter.start_time.map_or(Uuid::nil(), |time| lowest_id(time.before(SLACK))),
            end: filter.end_time.map_or(i64::MAX, |time| time.micros()),
            ahead: VecDeque::new(),
            next: Some((Uuid::max(), i64::MAX)),
        })
    }

    /// The records that are not in a whole bundle, by their ids: of `audit_events` the newest `limit`, of the others all.
    pub(super) async fn recent(
        &self,
        store: &Store,
        query: (&TenantScope, &AuditFilter),
        limit: Option<u64>,
    ) -> Result<BTreeMap<Uuid, AuditRecord>, Error> {
        let mut found = BTreeMap::new();
        for record in old::newest(self.tx, query, self.before, limit).await? {
            found.insert(record.id, record);
        }
        for bytes in store.journal_tail(self.tx, self.tenant).await? {
            self.add(&bytes, None, &mut found)?;
        }
        if let Some((_, settled)) = size(self.tx, self.tenant).await? {
            for row in pieces(self.tx, self.tenant, settled).await? {
                self.open(&row, &mut found)?;
            }
        }
        Ok(found)
    }

    /// The highest id that a record of the whole bundles can have that were not opened; none if there are no more.
    pub(super) async fn highest(&mut self) -> Result<Option<Uuid>, Error> {
        if self.ahead.is_empty()
            && let Some(next) = self.next.take()
        {
            self.ahead = self.wholes(next).await?;
            let is_full = i64::try_from(self.ahead.len()) == Ok(WHOLES_AT_ONCE);
            self.next = self.ahead.back().filter(|_| is_full).map(|last| (last.last_id, last.start));
        }
        Ok(self.ahead.front().map(|whole| whole.last_id))
    }

    /// Adds the records of the next whole bundle, if it may have some that are wanted.
    pub(super) async fn open_next(&mut self, found: &mut BTreeMap<Uuid, AuditRecord>) -> Result<(), Error> {
        let Some(whole) = self.ahead.pop_front() else { return Ok(()) };
        if !self.may_have(&whole)? {
            return Ok(());
        }
        let key = (self.tenant.as_str().to_owned(), whole.start);
        match Entity::find_by_id(key).one(self.tx).await? {
            Some(row) => self.open(&row, found),
            None => Ok(()),
        }
    }

    fn may_have(&mut self, whole: &Whole) -> Result<bool, Error> {
        // A row without content was altered: opening it says so.
        let Some(number) = whole.key_number else { return Ok(true) };
        let key = self.keys.get(&number).and_then(Option::as_ref).ok_or(Error::Integrity)?;
        Ok(self.wanted.may_be_in(whole.words.as_deref(), number, key))
    }

    async fn wholes(&self, (last_id, start): (Uuid, i64)) -> Result<VecDeque<Whole>, Error> {
        let sql = "SELECT start, last_id, key_number, words FROM audit_bundles
            WHERE tenant_id = $1 AND last_id IS NOT NULL AND (last_id, start) < ($2, $3) AND last_id >= $4 AND first_id < $5
                AND (first_time IS NULL OR first_time < $6)
            ORDER BY last_id DESC, start DESC LIMIT $7";
        let values = [
            self.tenant.as_str().into(),
            last_id.into(),
            start.into(),
            self.from.into(),
            self.before.into(),
            self.end.into(),
            WHOLES_AT_ONCE.into(),
        ];
        let asked = Statement::from_sql_and_values(self.tx.get_database_backend(), sql, values);
        let whole = |row: &QueryResult| {
            Ok(Whole {
                start: row.try_get("", "start")?,
                last_id: row.try_get("", "last_id")?,
                key_number: row.try_get("", "key_number")?,
                words: row.try_get("", "words")?,
            })
        };
        self.tx.query_all_raw(asked).await?.iter().map(whole).collect()
    }

    fn open(&self, row: &Model, found: &mut BTreeMap<Uuid, AuditRecord>) -> Result<(), Error> {
        let bundle = opened(self.tenant, row, &self.keys)?;
        let mut places = (row.start..).zip(bundle.records());
        places.try_for_each(|(index, bytes)| self.add(bytes, Some(index), found))
    }

    fn add(
        &self,
        bytes: &RecordBytes,
        index: Option<i64>,
        found: &mut BTreeMap<Uuid, AuditRecord>,
    ) -> Result<(), Error> {
        let record = match Record::decode(bytes) {
            Ok(record) => record,
            Err(error) => {
                // While releases change, a newer one may write what this one does not read.
                tracing::warn!(%error, tenant = %self.tenant, "an audit record cannot be shown");
                return Ok(());
            }
        };
        if record.id < self.before && record.id >= self.from {
            let record = of_log(record, index)?;
            if self.wanted.has(&record) {
                found.insert(record.id, record);
            }
        }
        Ok(())
    }
}
