//! Counting a tenant's records, each once, wherever they lie at one moment: kept counts of whole days, and what these do not
//! count, in whole bundles, in pieces, in the journal, and of an earlier release. Memory does not grow with the log.

use std::collections::BTreeMap;
use std::ops::Range;

use credvault_audit::{Record, RecordBytes};
use credvault_domain::{TenantScope, Timestamp};
use uuid::Uuid;

use super::days::{Alike, DAY_MICROS, day_of, kept_days, open_day, whole_days};
use super::filter::{AuditFilter, Wanted};
use super::keys::{AuditKeys, audit_keys};
use super::old;
use super::pieces::{opened, pieces, size};
use super::record::of_log;
use super::whole::BUNDLE_RECORDS;
use super::wholes::{SLACK, Whole, Wholes, micros_of, next_rows};
use crate::database::session::Reading;
use crate::entity::audit_bundle::Model;
use crate::{Error, Store};

/// How many records of an earlier release are read at a time.
const OLD_AT_ONCE: u64 = 1000;
/// How many rows of the journal are read at a time.
const JOURNAL_ROWS_AT_ONCE: u64 = 64;

/// What takes records, alone or in groups.
pub(super) type Take<'t> = &'t mut (dyn FnMut(Alike) -> Result<(), Error> + Send);

/// A tenant's log as it was at one moment.
pub(super) struct Counting<'a> {
    store: &'a Store,
    reading: &'a Reading,
    scope: &'a TenantScope,
    keys: AuditKeys,
}

/// What kept counts have counted already.
struct Counted {
    /// The days, each with the place before which it is counted.
    days: BTreeMap<i64, i64>,
    /// The first microsecond that is asked for, and the last one.
    first: i64,
    last: i64,
}

impl Counted {
    fn of(days: BTreeMap<i64, i64>, filter: &AuditFilter) -> Self {
        let first = filter.start_time.map_or(i64::MIN, Timestamp::micros);
        let last = filter.end_time.map_or(i64::MAX, |end| end.micros().saturating_sub(1));
        Self { days, first, last }
    }

    /// Whether a record is counted.
    fn has(&self, time: i64, place: i64) -> bool {
        self.days.get(&day_of(time)).is_some_and(|size| place < *size)
    }

    /// Whether all records of a bundle that are asked for are counted.
    fn has_all_of(&self, whole: &Whole) -> bool {
        let (first, last) = whole.times();
        let (first, last, end) =
            (first.max(self.first), last.min(self.last), whole.start.saturating_add(BUNDLE_RECORDS));
        let is_counted = |day: i64| self.days.get(&day).is_some_and(|size| *size >= end);
        first > last || (day_of(first)..=day_of(last)).all(is_counted)
    }
}

impl<'a> Counting<'a> {
    /// Begins to count. `reading` is a snapshot.
    pub(super) async fn begin(
        store: &'a Store,
        reading: &'a Reading,
        scope: &'a TenantScope,
    ) -> Result<Self, Error> {
        let keys = audit_keys(&reading.tx, scope.tenant(), &reading.keys).await?;
        Ok(Self { store, reading, scope, keys })
    }

    /// Gives each record that a filter wants. With `in_groups`, those of a day may come as groups without what
    /// [`days`](super::days) do not have of them.
    pub(super) async fn count(
        &self,
        filter: &AuditFilter,
        in_groups: bool,
        take: Take<'_>,
    ) -> Result<(), Error> {
        let days = if in_groups { self.count_days(filter, &mut *take).await? } else { BTreeMap::new() };
        self.count_recent(filter, &mut *take).await?;
        let (counted, mut wanted) = (Counted::of(days, filter), Wanted::new(self.scope, filter));
        let mut wholes = self.wholes(filter);
        loop {
            let page = wholes.page().await?;
            if page.is_empty() {
                return Ok(());
            }
            let mut needed = Vec::new();
            for whole in page {
                if self.needs(&whole, &counted, &mut wanted)? {
                    needed.push(whole);
                }
            }
            let mut needed = needed.as_slice();
            while !needed.is_empty() {
                for row in next_rows(&self.reading.tx, self.scope.tenant(), &mut needed).await? {
                    self.open(&row, &counted, &wanted, &mut *take)?;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// Gives the kept counts of the days that a filter covers as a whole, and tells which these are.
    pub(super) async fn count_days(
        &self,
        filter: &AuditFilter,
        take: Take<'_>,
    ) -> Result<BTreeMap<i64, i64>, Error> {
        let (tx, tenant) = (&self.reading.tx, self.scope.tenant());
        let mut days = self.kept_days(filter).await?;
        let wanted = Wanted::new(self.scope, filter);
        let mut unusable = Vec::new();
        for (day, size) in &days {
            match open_day(tx, tenant, (*day, *size), &self.keys).await? {
                Some(groups) => {
                    groups.into_iter().filter(|one| wanted.has(&one.record)).try_for_each(&mut *take)?;
                }
                None => unusable.push(*day),
            }
        }
        days.retain(|day, _| !unusable.contains(day));
        Ok(days)
    }

    /// From which time on at most about `most` records have to be read one by one; none if that is so for all of the filter's
    /// time.
    pub(super) async fn bound(&self, filter: &AuditFilter, most: u64) -> Result<Option<Timestamp>, Error> {
        let counted = Counted::of(self.kept_days(filter).await?, filter);
        let of_log = self.last_beyond(filter, &counted, most).await?;
        let of_old = old::beyond(&self.reading.tx, (self.scope, filter), most).await?;
        let bound = of_log.max(of_old).map(|id| {
            let time = Timestamp::from_micros(micros_of(id).saturating_add(1000)).after(SLACK);
            // A part of a day that is counted would have to be read after all.
            match counted.days.get(&day_of(time.micros())) {
                Some(_) => Timestamp::from_micros((day_of(time.micros()) + 1).saturating_mul(DAY_MICROS)),
                None => time,
            }
        });
        Ok(bound.map(|bound| filter.end_time.map_or(bound, |end| bound.min(end))))
    }

    /// The highest id of the whole bundles that are too many to be opened.
    async fn last_beyond(
        &self,
        filter: &AuditFilter,
        counted: &Counted,
        most: u64,
    ) -> Result<Option<Uuid>, Error> {
        let mut wanted = Wanted::new(self.scope, filter);
        let (mut wholes, mut records) = (self.wholes(filter), 0_u64);
        loop {
            let page = wholes.page().await?;
            if page.is_empty() {
                return Ok(None);
            }
            for whole in page {
                if self.needs(&whole, counted, &mut wanted)? {
                    if records >= most {
                        return Ok(Some(whole.last_id));
                    }
                    records += BUNDLE_RECORDS.unsigned_abs();
                }
            }
        }
    }

    async fn kept_days(&self, filter: &AuditFilter) -> Result<BTreeMap<i64, i64>, Error> {
        if !filter.is_of_days() {
            return Ok(BTreeMap::new());
        }
        let days: Range<i64> = whole_days(filter);
        kept_days(&self.reading.tx, self.scope.tenant(), days).await
    }

    fn wholes(&self, filter: &AuditFilter) -> Wholes<'_> {
        Wholes::of(&self.reading.tx, self.scope.tenant(), (filter.start_time, filter.end_time))
    }

    /// Gives the records that are not in a whole bundle.
    async fn count_recent(&self, filter: &AuditFilter, take: Take<'_>) -> Result<(), Error> {
        let (tx, tenant) = (&self.reading.tx, self.scope.tenant());
        let (wanted, none) = (Wanted::new(self.scope, filter), Counted::of(BTreeMap::new(), filter));
        let mut before = Uuid::max();
        loop {
            let records = old::newest(tx, (self.scope, filter), before, Some(OLD_AT_ONCE)).await?;
            let is_full = records.len() as u64 == OLD_AT_ONCE;
            before = records.last().map_or(before, |record| record.id);
            records.into_iter().map(Alike::from).try_for_each(&mut *take)?;
            if !is_full {
                break;
            }
        }
        let mut next = Some(Uuid::max());
        while let Some(before) = next {
            let records;
            (records, next) = self.store.journal_part(tx, tenant, (before, JOURNAL_ROWS_AT_ONCE)).await?;
            for bytes in &records {
                self.give(bytes, i64::MAX, &none, &wanted, &mut *take)?;
            }
        }
        if let Some((_, settled)) = size(tx, tenant).await? {
            for row in pieces(tx, tenant, settled).await? {
                self.open(&row, &none, &wanted, &mut *take)?;
            }
        }
        Ok(())
    }

    /// Whether a whole bundle has to be opened.
    fn needs(&self, whole: &Whole, counted: &Counted, wanted: &mut Wanted<'_>) -> Result<bool, Error> {
        if counted.has_all_of(whole) {
            return Ok(false);
        }
        // A row without content was altered: opening it says so.
        let Some(number) = whole.key_number else { return Ok(true) };
        let key = self.keys.get(&number).and_then(Option::as_ref).ok_or(Error::Integrity)?;
        Ok(wanted.may_be_in(whole.words.as_deref(), number, key))
    }

    fn open(&self, row: &Model, counted: &Counted, wanted: &Wanted<'_>, take: Take<'_>) -> Result<(), Error> {
        let bundle = opened(self.scope.tenant(), row, &self.keys)?;
        let mut places = (row.start..).zip(bundle.records());
        places.try_for_each(|(place, bytes)| self.give(bytes, place, counted, wanted, &mut *take))
    }

    /// Gives a record if it is wanted and not counted yet.
    fn give(
        &self,
        bytes: &RecordBytes,
        place: i64,
        counted: &Counted,
        wanted: &Wanted<'_>,
        take: Take<'_>,
    ) -> Result<(), Error> {
        let record = match Record::decode(bytes) {
            Ok(record) => record,
            Err(error) => {
                // While releases change, a newer one may write what this one does not read.
                tracing::warn!(%error, tenant = %self.scope.tenant(), "an audit record cannot be counted");
                return Ok(());
            }
        };
        if counted.has(record.time, place) {
            return Ok(());
        }
        let record = of_log(record, Some(place).filter(|place| *place != i64::MAX))?;
        if wanted.has(&record) { take(record.into()) } else { Ok(()) }
    }
}
