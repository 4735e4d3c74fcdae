//! Kept counts: what the records of a finished day have in common, in one row of `audit_days`. Queries that cover the whole day
//! read it in place of the records that it counts: those of the day that lie in the log before the place `size`. A row is never
//! changed; records that come later lie at later places, and are read one by one.
//!
//! ```text
//! plain  = version (1) = 1 || groups
//! group  = length (2) || record || count (8) || time of the first (8) || time of the last (8)     numbers are big-endian
//! sealed = seal(audit key, pack(plain)), bound to tenant, day and size
//! record = canonical bytes of a record that has only what the group's records have in common
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use credvault_audit::{Record, RecordBytes};
use credvault_crypto::{AuditKey, Context};
use credvault_domain::{Random, TenantId, Timestamp};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::filter::AuditFilter;
use super::keys::AuditKeys;
use super::packing::{pack, unpack};
use super::record::{AuditRecord, of_log};
use crate::Error;
use crate::integrity::alarm;

const VERSION: u8 = 1;
pub(super) const DAY_MICROS: i64 = 86_400_000_000;
/// How many records of a day are worth a row: fewer lie in a few bundles.
pub(super) const MIN_RECORDS: i64 = 1024;
/// How many records a group must have on average, so that reading groups is cheaper than reading records.
const RECORDS_EACH: i64 = 4;
/// How many groups, and how many bytes of them, a row has at most.
const MAX_GROUPS: usize = 20_000;
const MAX_BYTES: usize = 6 * 1024 * 1024;
/// The bytes of a group beside its record.
const NUMBERS_BYTES: usize = 2 + 3 * 8;

/// Records that have in common all that counts have of them: one record, or some of a day. The time of `record` is that of the
/// first.
pub(super) struct Alike {
    pub(super) record: AuditRecord,
    pub(super) count: i64,
    pub(super) last_time: Timestamp,
}

impl From<AuditRecord> for Alike {
    fn from(record: AuditRecord) -> Self {
        Self { last_time: record.time, count: 1, record }
    }
}

/// The day of a time in microseconds, as days since 1970-01-01 in UTC.
pub(super) fn day_of(micros: i64) -> i64 {
    micros.div_euclid(DAY_MICROS)
}

/// The days that lie as a whole in the time of a filter.
pub(super) fn whole_days(filter: &AuditFilter) -> Range<i64> {
    let first = |time: Timestamp| day_of(time.micros().saturating_add(DAY_MICROS - 1));
    filter.start_time.map_or(i64::MIN, first)..filter.end_time.map_or(i64::MAX, |end| day_of(end.micros()))
}

/// The counts of a day in the making.
#[derive(Default)]
pub(super) struct DayCounts {
    groups: BTreeMap<Vec<u8>, Group>,
    records: i64,
    bytes: usize,
}

struct Group {
    count: i64,
    first_time: i64,
    last_time: i64,
}

impl DayCounts {
    /// Counts a record. `None` if there is too much to be kept.
    pub(super) fn add(&mut self, record: Record<'_>) -> Option<()> {
        let time = record.time;
        let key = common(record).encode().ok()?.into_vec();
        let length = key.len();
        self.records += 1;
        match self.groups.get_mut(&key) {
            Some(group) => {
                group.count += 1;
                group.first_time = group.first_time.min(time);
                group.last_time = group.last_time.max(time);
            }
            None => {
                self.bytes += length + NUMBERS_BYTES;
                self.groups.insert(key, Group { count: 1, first_time: time, last_time: time });
            }
        }
        (self.groups.len() <= MAX_GROUPS && self.bytes <= MAX_BYTES).then_some(())
    }

    /// Whether a row with them saves work.
    pub(super) fn are_worth_a_row(&self) -> bool {
        let groups = i64::try_from(self.groups.len()).unwrap_or(i64::MAX);
        self.records >= MIN_RECORDS && groups.saturating_mul(RECORDS_EACH) <= self.records
    }

    /// The bytes of the row.
    pub(super) fn seal(
        &self,
        (tenant, day, size): (&TenantId, i64, i64),
        key: &AuditKey,
        random: &dyn Random,
    ) -> Result<Vec<u8>, Error> {
        Ok(key.seal(&Context::audit_day(tenant, day, size), &pack(&self.encode()), random)?)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(1 + self.bytes));
        out.push(VERSION);
        for (record, Group { count, first_time, last_time }) in &self.groups {
            // A record has fewer than 65,536 bytes.
            out.extend(u16::try_from(record.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(record);
            for number in [count, first_time, last_time] {
                out.extend(number.to_be_bytes());
            }
        }
        out
    }
}

/// A record without what counts do not have.
fn common(record: Record<'_>) -> Record<'_> {
    // All fields are named: a new one has to be decided about.
    let Record {
        id: _,
        time: _,
        trace: _,
        tenant,
        tenant_source,
        action,
        outcome,
        service,
        user,
        connection,
        owner_user,
        provider,
        version: _,
        purpose,
        reason,
        source_address: _,
        changed: _,
        released,
        policies: _,
    } = record;
    Record {
        id: Uuid::nil(),
        time: 0,
        trace: [0; 16],
        tenant,
        tenant_source,
        action,
        outcome,
        service,
        user,
        connection,
        owner_user,
        provider,
        version: None,
        purpose,
        reason,
        source_address: None,
        changed: Vec::new(),
        released,
        policies: Vec::new(),
    }
}

/// The groups of a row; `None` if a later release has written it.
fn decode(plain: &[u8]) -> Option<Vec<Alike>> {
    let (&VERSION, mut rest) = plain.split_first()? else { return None };
    let mut groups = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk()?;
        let (bytes, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (numbers, after) = after.split_first_chunk::<24>()?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|number| i64::from_be_bytes(*number));
        let (count, first, last) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let bytes = RecordBytes::new(bytes.to_vec()).ok()?;
        let record = Record { time: first, ..Record::decode(&bytes).ok()? };
        groups.push(Alike {
            record: of_log(record, None).ok()?,
            count,
            last_time: Timestamp::from_micros(last),
        });
        rest = after;
    }
    Some(groups)
}

/// The days with kept counts, each with the place before which they count.
pub(super) async fn kept_days(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    days: Range<i64>,
) -> Result<BTreeMap<i64, i64>, Error> {
    let sql = "SELECT day, size FROM audit_days WHERE tenant_id = $1 AND day >= $2 AND day < $3 AND sealed IS NOT NULL";
    let values = [tenant.as_str().into(), days.start.into(), days.end.into()];
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let rows = tx.query_all_raw(asked).await?;
    rows.iter().map(|row| Ok((row.try_get("", "day")?, row.try_get("", "size")?))).collect()
}

/// The kept counts of a day; `None` if they cannot be used, so that the day's records have to be read.
pub(super) async fn open_day(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    (day, size): (i64, i64),
    keys: &AuditKeys,
) -> Result<Option<Vec<Alike>>, Error> {
    let sql =
        "SELECT key_number, sealed FROM audit_days WHERE tenant_id = $1 AND day = $2 AND sealed IS NOT NULL";
    let values = [tenant.as_str().into(), day.into()];
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let Some(row) = tx.query_one_raw(asked).await? else { return Ok(None) };
    let (number, sealed): (i64, Vec<u8>) = (row.try_get("", "key_number")?, row.try_get("", "sealed")?);
    let context = Context::audit_day(tenant, day, size);
    let key = keys.get(&number).and_then(Option::as_ref);
    let Some(packed) = key.and_then(|key| key.open(&context, &sealed).ok()) else {
        alarm(tenant, context.what(), context.record());
        return Ok(None);
    };
    Ok(unpack(&packed).and_then(|plain| decode(&plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(user: &str, time: i64) -> Record<'_> {
        Record {
            id: Uuid::from_u128(7),
            time,
            trace: [1; 16],
            tenant: "acme".into(),
            tenant_source: "token".into(),
            action: "FetchCredential".into(),
            outcome: "OK".into(),
            service: Some("spiffe://test/app".into()),
            user: Some(user.into()),
            connection: Some(Uuid::from_u128(9)),
            owner_user: None,
            provider: Some("generic".into()),
            version: Some(time),
            purpose: Some("sync".into()),
            reason: None,
            source_address: Some([127, 0, 0, 1].into()),
            changed: vec!["x".into()],
            released: vec!["refresh_token".into()],
            policies: vec!["app".into()],
        }
    }

    #[test]
    fn groups_have_what_their_records_have_in_common() {
        let mut counts = DayCounts::default();
        for (user, time) in [("u1", 5), ("u2", 7), ("u1", 3), ("u1", 9)] {
            counts.add(record(user, time)).expect("few");
        }
        let groups = decode(&counts.encode()).expect("groups");
        let found: Vec<_> = groups
            .iter()
            .map(|one| {
                let times = (one.record.time.micros(), one.last_time.micros());
                (one.record.user.as_deref(), one.count, times, one.record.purpose.as_deref())
            })
            .collect();
        assert_eq!(found, [(Some("u1"), 3, (3, 9), Some("sync")), (Some("u2"), 1, (7, 7), Some("sync"))]);
        assert_eq!(groups[0].record.released, ["refresh_token"]);
        assert_eq!((groups[0].record.source_address.as_ref(), groups[0].record.version), (None, None));
    }

    #[test]
    fn bytes_of_a_later_release_and_broken_ones_are_not_used() {
        let mut counts = DayCounts::default();
        counts.add(record("u1", 5)).expect("few");
        let plain = counts.encode();
        for wrong in [&[][..], &[2], &plain[..plain.len() - 1], &[plain.as_slice(), &[0]].concat()] {
            assert!(decode(wrong).is_none());
        }
    }

    #[test]
    fn a_row_is_for_many_records_that_are_alike() {
        let mut alike = DayCounts::default();
        (0..MIN_RECORDS - 1).for_each(|time| alike.add(record("u1", time)).expect("few"));
        assert!(!alike.are_worth_a_row(), "too few");
        alike.add(record("u1", 0)).expect("few");
        assert!(alike.are_worth_a_row());
        let users: Vec<_> = (0..MAX_GROUPS).map(|number| format!("u{number}")).collect();
        let mut different = DayCounts::default();
        users.iter().for_each(|user| different.add(record(user, 1)).expect("few"));
        assert!(!different.are_worth_a_row(), "each is another");
        assert!(different.add(record("one more", 1)).is_none());
    }

    #[test]
    fn only_days_that_a_filter_covers_as_a_whole_count() {
        let of = |start: i64, end: i64| {
            whole_days(&AuditFilter {
                start_time: Some(Timestamp::from_micros(start)),
                end_time: Some(Timestamp::from_micros(end)),
                ..AuditFilter::default()
            })
        };
        assert_eq!(of(DAY_MICROS, 3 * DAY_MICROS), 1..3);
        assert_eq!(of(DAY_MICROS + 1, 3 * DAY_MICROS - 1), 2..2);
        assert_eq!(whole_days(&AuditFilter::default()), i64::MIN..i64::MAX);
    }
}
