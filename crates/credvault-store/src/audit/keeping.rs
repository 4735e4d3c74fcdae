//! The work that keeps counts of finished days. Any number of replicas may do it at a time: the first row of a day stays.

use std::time::{Duration, Instant};

use credvault_audit::Record;
use credvault_domain::TenantId;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement};
use uuid::Uuid;

use super::days::{DAY_MICROS, DayCounts, day_of};
use super::journal::lowest_id;
use super::keys::{AuditKeys, audit_keys};
use super::old;
use super::pieces::{first_place, opened, size, whole_until};
use super::whole::BUNDLE_RECORDS;
use super::wholes::{SLACK, Wholes, next_rows};
use crate::database::pieces::execute;
use crate::database::transaction::{Access, begin, lock_log};
use crate::{Error, Store};

/// How long a day has to be over, so that most of its records are in their log.
const SETTLED: Duration = Duration::from_secs(900);
/// How many bundles may have a day's records before they are counted.
const MIN_BUNDLES: i64 = 4;

/// What is to be done next for a tenant.
enum Next {
    /// Nothing, until more is in its log.
    Nothing,
    /// The records of this day are to be counted.
    Count(i64),
    /// No day up to this one is worth a row.
    Skip(i64),
}

impl Store {
    /// Keeps the counts of a tenant's finished days, until `end` at the latest.
    ///
    /// # Errors
    /// The tenant's key does not unwrap, a part of its log does not open, or the database fails.
    pub(super) async fn keep_days(&self, tenant: &TenantId, end: Instant) -> Result<(), Error> {
        while Instant::now() < end {
            let tx = begin(&self.reader(), self.database(), Access::Read, tenant).await?;
            let next = self.next_day(&tx, tenant).await?;
            tx.rollback().await?;
            match next {
                Next::Nothing => break,
                Next::Count(day) => self.keep_day(tenant, day, true).await?,
                Next::Skip(day) => self.keep_day(tenant, day, false).await?,
            }
        }
        Ok(())
    }

    async fn next_day(&self, tx: &DatabaseTransaction, tenant: &TenantId) -> Result<Next, Error> {
        let last_finished = day_of(self.now().before(SETTLED).micros()) - 1;
        let newest = newest_day(tx, tenant).await?;
        let mut day = newest.map_or(i64::MIN, |day| day.saturating_add(1));
        // While records of an earlier release are moved in, days still get many.
        if bundles(tx, tenant, (day, i64::MAX)).await? < MIN_BUNDLES || old::are_left(tx, tenant).await? {
            return Ok(Next::Nothing);
        }
        while let Some(first) = first_day(tx, tenant, day).await? {
            day = day.max(first);
            if day > last_finished {
                break;
            }
            if bundles(tx, tenant, (day, day)).await? >= MIN_BUNDLES {
                return Ok(Next::Count(day));
            }
            day += 1;
        }
        // The row lets the next look begin behind these days.
        let is_new = newest.is_none_or(|newest| newest < last_finished) && day > i64::MIN;
        Ok(if is_new { Next::Skip(last_finished) } else { Next::Nothing })
    }

    /// Writes the row of a day: with its counts, if they are worth it.
    async fn keep_day(&self, tenant: &TenantId, day: i64, is_counted: bool) -> Result<(), Error> {
        let (tx, keys, _) = self.begin_with_keys(&self.reader(), Access::Snapshot, tenant).await?;
        let keys = audit_keys(&tx, tenant, &keys).await?;
        let (_, settled) = size(&tx, tenant).await?.unwrap_or_default();
        // Bundles that were joined since the newest row was written are whole, too.
        let size = whole_until(&tx, tenant, settled).await?;
        let first = first_place(&tx, tenant).await?;
        let counts = if is_counted { count_day(&tx, tenant, (day, size), &keys).await? } else { None };
        tx.rollback().await?;
        let newest = keys.iter().rev().find_map(|(number, key)| Some((*number, key.clone()?)));
        let counts = counts.filter(DayCounts::are_worth_a_row).zip(newest);
        let row = match counts {
            Some((counts, (number, key))) => {
                Some((number, counts.seal((tenant, day, size), &key, self.keyring().random())?))
            }
            None => None,
        };
        let (number, sealed) = row.unzip();
        let tx = self.begin_bookkeeping(tenant).await?;
        lock_log(&tx, self.database(), tenant).await?;
        // What was counted is removed from the log meanwhile, or was before.
        if first_place(&tx, tenant).await? != first {
            return Err(Error::Conflict);
        }
        let sql =
            "INSERT INTO audit_days (tenant_id, day, size, key_number, sealed) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant_id, day) DO NOTHING";
        let values = [tenant.as_str().into(), day.into(), size.into(), number.into(), sealed.into()];
        execute(&tx, sql, values).await?;
        Ok(tx.commit().await?)
    }
}

/// The newest day that has a row.
async fn newest_day(tx: &DatabaseTransaction, tenant: &TenantId) -> Result<Option<i64>, Error> {
    let sql = "SELECT day FROM audit_days WHERE tenant_id = $1 ORDER BY day DESC LIMIT 1";
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [tenant.as_str().into()]);
    Ok(tx.query_one_raw(asked).await?.map(|row| row.try_get("", "day")).transpose()?)
}

/// The lowest id that a record of a day can have.
fn lowest_of(day: i64) -> Uuid {
    lowest_id(credvault_domain::Timestamp::from_micros(day.saturating_mul(DAY_MICROS)).before(SLACK))
}

/// How many whole bundles may have records of some days, at most as many as are worth a row.
async fn bundles(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    (first, last): (i64, i64),
) -> Result<i64, Error> {
    let (from, end) = (lowest_of(first), last.saturating_add(1).saturating_mul(DAY_MICROS));
    let sql = "SELECT count(*) AS bundles FROM (SELECT 1 FROM audit_bundles
        WHERE tenant_id = $1 AND last_id IS NOT NULL AND last_id >= $2
            AND (first_time IS NULL OR first_time < $3) LIMIT $4) found";
    let values = [tenant.as_str().into(), from.into(), end.into(), MIN_BUNDLES.into()];
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let row = tx.query_one_raw(asked).await?;
    Ok(row.map(|row| row.try_get("", "bundles")).transpose()?.unwrap_or_default())
}

/// The day of the first record in the whole bundle that is the next one with records of a day or later ones.
async fn first_day(tx: &DatabaseTransaction, tenant: &TenantId, day: i64) -> Result<Option<i64>, Error> {
    // A bundle without words has records of a later release, and perhaps of any day.
    let sql =
        "SELECT first_time FROM audit_bundles WHERE tenant_id = $1 AND last_id IS NOT NULL AND last_id >= $2
        AND words IS NOT NULL ORDER BY last_id, start LIMIT 1";
    let values = [tenant.as_str().into(), lowest_of(day).into()];
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let row = tx.query_one_raw(asked).await?;
    let first: Option<i64> = row.map(|row| row.try_get("", "first_time")).transpose()?;
    Ok(first.map(day_of))
}

/// Counts the records of a day at places before `size`; `None` if that is too much, or a record cannot be read.
async fn count_day(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    (day, size): (i64, i64),
    keys: &AuditKeys,
) -> Result<Option<DayCounts>, Error> {
    let time = |day: i64| credvault_domain::Timestamp::from_micros(day.saturating_mul(DAY_MICROS));
    let mut wholes = Wholes::of(tx, tenant, (Some(time(day)), Some(time(day + 1))));
    let mut counts = DayCounts::default();
    loop {
        let mut page = wholes.page().await?;
        if page.is_empty() {
            return Ok(Some(counts));
        }
        page.retain(|whole| whole.start + BUNDLE_RECORDS <= size);
        let mut page = page.as_slice();
        while !page.is_empty() {
            for row in next_rows(tx, tenant, &mut page).await? {
                let bundle = opened(tenant, &row, keys)?;
                for bytes in bundle.records() {
                    let Ok(record) = Record::decode(bytes) else { return Ok(None) };
                    if day_of(record.time) == day && counts.add(record).is_none() {
                        return Ok(None);
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
