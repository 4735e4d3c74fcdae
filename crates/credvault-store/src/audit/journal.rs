//! A row of the journal: audit records of any tenants that became durable in one commit, packed and sealed together.
//!
//! ```text
//! plain  = version (1) = 1 || entries
//! entry  = length (1) || tenant || length (2) || canonical bytes of the record          numbers are big-endian
//! body   = seal(audit key of the platform, pack(plain)), bound to the row's id
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_audit::{Record, RecordBytes, RecordTooLong};
use credvault_crypto::{AuditKey, Context};
use credvault_domain::{AuditEvent, Random, TenantId, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait as _,
    QueryFilter as _, Statement,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::packing::{pack, unpack};
use crate::entity::audit_journal::{ActiveModel, Column, Entity, Model};
use crate::{Database, Error};

const VERSION: u8 = 1;
/// A row has at most about this many bytes before it is packed, unless one call alone has more.
pub(crate) const MAX_ROW_BYTES: usize = 1024 * 1024;
/// How many ids one statement of SQLite names.
const IDS_AT_ONCE: usize = 1000;
/// How old rows are that are looked for all the time: the beginning of the index is full of rows that are gone. Clocks of
/// replicas differ by less.
pub(super) const LATELY: Duration = Duration::from_secs(60);
/// The time of a row that is set aside, because it does not open.
pub(super) const SET_ASIDE: i64 = i64::MAX;

/// A record that waits, with the tenant whose log it is for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    pub(crate) tenant: TenantId,
    pub(crate) record: RecordBytes,
}

impl Entry {
    /// The entry of an event.
    ///
    /// # Errors
    /// Its lists of names are too long.
    pub(crate) fn of(event: &AuditEvent) -> Result<Self, RecordTooLong> {
        Ok(Self { tenant: event.tenant.clone(), record: Record::from(event).encode()? })
    }

    /// How many bytes it takes in a row, before the row is packed.
    pub(crate) fn bytes(&self) -> usize {
        3 + self.tenant.as_str().len() + self.record.as_slice().len()
    }
}

fn encode(entries: &[Entry]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(1 + entries.iter().map(Entry::bytes).sum::<usize>()));
    out.push(VERSION);
    for Entry { tenant, record } in entries {
        // A tenant's id has at most 64 bytes, and a record less than 65,536.
        out.push(u8::try_from(tenant.as_str().len()).unwrap_or(u8::MAX));
        out.extend_from_slice(tenant.as_str().as_bytes());
        out.extend(u16::try_from(record.as_slice().len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(record.as_slice());
    }
    out
}

fn decode(plain: &[u8]) -> Option<Vec<Entry>> {
    let (version, mut rest) = plain.split_first()?;
    if *version != VERSION {
        return None;
    }
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first()?;
        let (tenant, after) = after.split_at_checked(usize::from(*length))?;
        let (length, after) = after.split_first_chunk()?;
        let (record, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let tenant = TenantId::from_stored(String::from_utf8(tenant.to_vec()).ok()?);
        entries.push(Entry { tenant, record: RecordBytes::new(record.to_vec()).ok()? });
        rest = after;
    }
    Some(entries)
}

/// The lowest id that a UUIDv7 of this instant's millisecond can have.
pub(crate) fn lowest_id(time: Timestamp) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(time.millis(), &[0; 10]).into_uuid()
}

/// The audit keys of the platform that this process has opened. They stay in memory: what contains an incident is recorded
/// while the key manager is away.
#[derive(Default)]
pub(crate) struct JournalKeys {
    keys: Mutex<BTreeMap<i64, Arc<AuditKey>>>,
    /// The id of the last row that was made.
    last: Mutex<Uuid>,
}

impl JournalKeys {
    /// Adds keys, each with its number.
    pub(super) fn add(&self, keys: impl IntoIterator<Item = (i64, Arc<AuditKey>)>) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
    }

    pub(super) fn get(&self, number: i64) -> Option<Arc<AuditKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    pub(super) fn newest(&self) -> Option<(i64, Arc<AuditKey>)> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.last_key_value().map(|(number, key)| (*number, Arc::clone(key)))
    }

    /// Makes a row of entries, due from `due_time` on.
    ///
    /// # Errors
    /// There is no randomness, or the entries are more than 17 MiB.
    pub(crate) fn seal(
        &self,
        entries: &[Entry],
        (now, due_time): (Timestamp, i64),
        random: &dyn Random,
    ) -> Result<Model, Error> {
        let (key_number, key) = self.newest().ok_or(Error::AuditUnavailable)?;
        let mut bytes = [0; 10];
        random.fill(&mut bytes).map_err(|error| Error::Key(error.into()))?;
        let id = self.next_id(uuid::Builder::from_unix_timestamp_millis(now.millis(), &bytes).into_uuid());
        let body = key.seal(&Context::audit_journal(id.into_bytes()), &pack(&encode(entries)), random)?;
        let records = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        Ok(Model { id, key_number, due_time, records, body })
    }

    /// An id behind those of all rows that this process made before: records come into logs in the order of rows.
    fn next_id(&self, new: Uuid) -> Uuid {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = if new > *last { new } else { Uuid::from_u128(last.as_u128() + 1) };
        *last
    }

    /// Makes as many rows as entries need that wait together.
    ///
    /// # Errors
    /// There is no randomness.
    pub(super) fn seal_all(
        &self,
        mut entries: &[Entry],
        time: (Timestamp, i64),
        random: &dyn Random,
    ) -> Result<Vec<Model>, Error> {
        let mut rows = Vec::new();
        while !entries.is_empty() {
            let (part, rest) = entries.split_at(fitting(entries.iter().map(Entry::bytes)));
            rows.push(self.seal(part, time, random)?);
            entries = rest;
        }
        Ok(rows)
    }

    /// The entries of a row.
    ///
    /// # Errors
    /// [`Error::Integrity`] if it does not open with the keys that are there.
    pub(super) fn open(&self, row: &Model) -> Result<Vec<Entry>, Error> {
        let key = self.get(row.key_number).ok_or(Error::Integrity)?;
        let packed = key.open(&Context::audit_journal(row.id.into_bytes()), &row.body)?;
        unpack(&packed).and_then(|plain| decode(&plain)).ok_or(Error::Integrity)
    }
}

/// How many of the next items fit into a row: at least one.
pub(crate) fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = |size: &usize| {
        bytes += size;
        bytes <= MAX_ROW_BYTES
    };
    sizes.take_while(fits).count().max(1)
}

/// Inserts rows of the journal.
pub(crate) async fn insert<C: ConnectionTrait>(db: &C, rows: Vec<Model>) -> Result<(), DbErr> {
    // Row by row: nearly always there is one, and rows of a megabyte need not share a statement.
    for Model { id, key_number, due_time, records, body } in rows {
        let row = ActiveModel {
            id: Set(id),
            key_number: Set(key_number),
            due_time: Set(due_time),
            records: Set(records),
            body: Set(body),
        };
        Entity::insert(row).exec_without_returning(db).await?;
    }
    Ok(())
}

/// Deletes rows of the journal, and tells how many there were.
pub(super) async fn delete(tx: &DatabaseTransaction, database: Database, ids: &[Uuid]) -> Result<u64, DbErr> {
    let mut deleted = 0;
    match database {
        // One statement for any number, and one plan.
        Database::Postgres => {
            let sql = "DELETE FROM audit_journal WHERE id = ANY($1::uuid[])";
            let gone = Statement::from_sql_and_values(DbBackend::Postgres, sql, [ids.to_vec().into()]);
            deleted += tx.execute_raw(gone).await?.rows_affected();
        }
        Database::Sqlite => {
            for ids in ids.chunks(IDS_AT_ONCE) {
                let gone = Entity::delete_many().filter(Column::Id.is_in(ids.iter().copied()));
                deleted += gone.exec(tx).await?.rows_affected;
            }
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use credvault_crypto::SystemRandom;
    use credvault_domain::Action;

    use super::*;

    fn entry(tenant: &str) -> Entry {
        let tenant = TenantId::from_stored(tenant.to_owned());
        Entry::of(&AuditEvent::of(tenant, Action::FetchCredential)).expect("short")
    }

    fn keys(numbers: &[i64]) -> JournalKeys {
        let keys = JournalKeys::default();
        let key = || Arc::new(AuditKey::generate(&SystemRandom).expect("random"));
        keys.add(numbers.iter().map(|number| (*number, key())));
        keys
    }

    #[test]
    fn a_row_opens_to_its_entries_under_its_id_and_number_only() {
        let (keys, time) = (keys(&[1, 2]), Timestamp::from_micros(1_764_230_400_000_000));
        let entries = [entry("acme"), entry(":platform"), entry(&"x".repeat(64))];
        let row = keys.seal(&entries, (time, 5), &SystemRandom).expect("seals");
        assert_eq!((row.key_number, row.due_time, row.records), (2, 5, 3));
        assert_eq!(keys.open(&row).expect("opens"), entries);
        assert!(row.id > lowest_id(time.before(Duration::from_millis(1))));
        for altered in [
            Model { id: Uuid::from_u128(1), ..row.clone() },
            Model { key_number: 1, ..row.clone() },
            Model { key_number: 3, ..row.clone() },
            Model { body: Vec::new(), ..row.clone() },
        ] {
            assert!(matches!(keys.open(&altered), Err(Error::Integrity)));
        }
        let none = JournalKeys::default();
        assert!(matches!(none.seal(&entries, (time, 0), &SystemRandom), Err(Error::AuditUnavailable)));
    }

    #[test]
    fn bytes_that_are_no_entries_are_refused() {
        let plain = encode(&[entry("acme")]);
        assert!(decode(&plain).is_some_and(|entries| entries.len() == 1));
        for wrong in [&[][..], &[2], &plain[..plain.len() - 1], &[plain.as_slice(), &[4]].concat()] {
            assert!(decode(wrong).is_none());
        }
    }

    #[test]
    fn rows_end_by_bytes_and_have_one_entry_at_least() {
        assert_eq!(fitting([MAX_ROW_BYTES + 1, 1].into_iter()), 1);
        assert_eq!(fitting([MAX_ROW_BYTES - 1, 1, 1].into_iter()), 2);
        assert_eq!(fitting(std::iter::empty()), 1);
        let (keys, entries) = (keys(&[1]), vec![entry("acme"); 20_000]);
        let rows = keys.seal_all(&entries, (Timestamp::default(), 0), &SystemRandom).expect("seals");
        assert!(rows.len() > 1, "{}", rows.len());
        let all: Vec<_> = rows.iter().flat_map(|row| keys.open(row).expect("opens")).collect();
        assert_eq!(all, entries);
    }
}
