//! Where the records of a round go: to their tenants' logs, to the platform's, or nowhere for a while. Nothing is written here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use credvault_audit::{Record, RecordBytes, TILE_WIDTH};
use credvault_domain::{TenantId, chain};
use futures::StreamExt as _;
use uuid::Uuid;

use super::taking::Taken;
use super::{Rest, SIDE_BY_SIDE, Sequencer};
use crate::Error;
use crate::audit::ends::{self, End, Found};
use crate::audit::journal::Entry;
use crate::audit::pieces::{Rows, append_rows};
use crate::entity::audit_journal;

/// How long records wait at first whose tenant's key is not to be had at the moment; each time twice as long.
const SHORT_REST: Duration = Duration::from_secs(5);
/// How long records wait at most, and those whose tenant's log was altered, or which the database refuses.
const LONG_REST: Duration = Duration::from_secs(60);
/// From how many pieces on they are joined, although their bundle is not complete.
const MANY_PIECES: usize = 64;

/// What one transaction is to write.
#[derive(Default)]
pub(super) struct Placed {
    /// The rows of the journal that go.
    pub(super) ids: Vec<Uuid>,
    /// The rows of the journal that are set aside.
    pub(super) spoiled: Vec<Uuid>,
    /// The rows of the journal whose records all wait, by the time from which on they are due again.
    pub(super) resting: BTreeMap<i64, Vec<Uuid>>,
    pub(super) rows: Rows,
    /// New rows of the journal, of records that wait and had a row together with others.
    pub(super) waiting: Vec<audit_journal::Model>,
    /// The ends of the logs afterwards.
    pub(super) ends: Vec<(TenantId, End)>,
    /// Logs whose pieces are to be joined.
    pub(super) to_fold: Vec<TenantId>,
    /// How many records are appended.
    pub(super) records: u64,
}

impl Placed {
    /// The tenants whose logs grow.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.ends.iter().map(|(tenant, _)| tenant)
    }
}

/// What a round knows of the logs of its records' tenants.
#[derive(Default)]
struct Logs {
    ends: HashMap<TenantId, End>,
    /// Tenants that never were: their records are the platform's.
    never: BTreeSet<TenantId>,
    /// Tenants whose log is not to be had, and for how long their records wait.
    waiting: HashMap<TenantId, Duration>,
    /// Why the first of them wait.
    reason: Option<String>,
}

impl Logs {
    /// For how long a record of a tenant waits, if it does.
    fn rest(&self, tenant: &TenantId, platform: &TenantId) -> Option<Duration> {
        let log = if self.never.contains(tenant) { platform } else { tenant };
        self.waiting.get(log).copied()
    }
}

impl Sequencer {
    /// Finds the ends of the logs and appends to copies of them.
    pub(super) async fn place(&mut self, taken: Taken) -> Result<Placed, Error> {
        let Taken { rows, spoiled, .. } = taken;
        let platform = TenantId::platform();
        let tenants: BTreeSet<_> =
            rows.iter().flat_map(|(_, entries)| entries).map(|entry| &entry.tenant).collect();
        // Records of tenants that never were go to the platform's.
        let tenants = tenants.into_iter().chain([&platform]).cloned().collect();
        let mut logs = self.read_logs(tenants).await;
        let (now, mut placed) = (self.store.now(), Placed { spoiled, ..Placed::default() });
        let mut groups = BTreeMap::<TenantId, Vec<RecordBytes>>::new();
        let mut later = BTreeMap::<Duration, Vec<Entry>>::new();
        for (id, entries) in rows {
            let rests: Option<Vec<_>> =
                entries.iter().map(|entry| logs.rest(&entry.tenant, &platform)).collect();
            if let Some(rest) = rests.and_then(|rests| rests.into_iter().min()) {
                placed.resting.entry(now.after(rest).micros()).or_default().push(id);
                continue;
            }
            placed.ids.push(id);
            for entry in entries {
                if let Some(rest) = logs.rest(&entry.tenant, &platform) {
                    later.entry(rest).or_default().push(entry);
                } else if logs.never.contains(&entry.tenant) {
                    let record = named(&entry.tenant, entry.record);
                    groups.entry(platform.clone()).or_default().push(record);
                } else {
                    groups.entry(entry.tenant).or_default().push(entry.record);
                }
            }
        }
        for (tenant, records) in groups {
            // Of each tenant whose records do not wait there is one.
            let end = logs.ends.remove(&tenant).ok_or(Error::Conflict)?;
            self.append(&mut placed, tenant, end, records)?;
        }
        self.journal_again(&mut placed, &later)?;
        if let Some(reason) = &logs.reason {
            tracing::warn!(
                tenants = logs.waiting.len(),
                reason,
                "audit records are durable and wait for the log of their tenant"
            );
        }
        Ok(placed)
    }

    /// Finds the ends of logs, in memory or in the database.
    async fn read_logs(&mut self, tenants: BTreeSet<TenantId>) -> Logs {
        let (now, mut logs, mut unknown) = (Instant::now(), Logs::default(), Vec::new());
        self.refused.retain(|_, until| *until > now);
        for tenant in tenants {
            if self.refused.contains_key(&tenant) {
                logs.reason.get_or_insert_with(|| "the database refuses rows of the log".to_owned());
                logs.waiting.insert(tenant, LONG_REST);
            } else if let Some(end) = self.ends.get(&tenant) {
                logs.ends.insert(tenant, end.clone());
            } else if let Some(rest) = self.rests.get(&tenant).filter(|rest| now < rest.until) {
                // Its newer records wait as those before them do.
                logs.waiting.insert(tenant, rest.time);
            } else {
                unknown.push(tenant);
            }
        }
        // One whose key was refused must not be asked for again before others have been.
        unknown.sort_by_key(|tenant| self.rests.get(tenant).is_some_and(|rest| rest.was_asked));
        let mut read = Vec::new();
        let found = self.read_ends(unknown).await;
        for (tenant, found) in found {
            match found {
                Some(Ok(Found::End(end))) => {
                    self.rests.remove(&tenant);
                    read.push((tenant.clone(), (*end).clone()));
                    logs.ends.insert(tenant, *end);
                }
                Some(Ok(Found::NoTenant)) => {
                    logs.never.insert(tenant);
                }
                Some(Err(error)) => {
                    logs.reason.get_or_insert_with(|| chain(&error));
                    let rest = self.rest(&tenant, matches!(error, Error::Integrity), true);
                    logs.waiting.insert(tenant, rest);
                }
                None => {
                    let rest = self.rest(&tenant, false, false);
                    logs.waiting.insert(tenant, rest);
                }
            }
        }
        // If the round fails, the next one need not read them again.
        self.ends.keep(read);
        logs
    }

    /// Reads the ends of logs, a few side by side. Once a key is not to be had, no further ones are asked for.
    async fn read_ends(&self, tenants: Vec<TenantId>) -> Vec<(TenantId, Option<Result<Found, Error>>)> {
        let (store, is_away) = (&self.store, &AtomicBool::new(false));
        let reading = tenants.into_iter().map(|tenant| async move {
            if is_away.load(Ordering::Relaxed) {
                return (tenant, None);
            }
            let found = ends::read(store, &tenant).await;
            if matches!(found, Err(Error::Key(_))) {
                is_away.store(true, Ordering::Relaxed);
            }
            (tenant, Some(found))
        });
        futures::stream::iter(reading).buffer_unordered(SIDE_BY_SIDE).collect().await
    }

    /// For how long the records of a tenant wait now.
    fn rest(&mut self, tenant: &TenantId, is_altered: bool, was_asked: bool) -> Duration {
        let before = self.rests.get(tenant).map(|rest| rest.time * 2);
        let time = if is_altered { LONG_REST } else { before.unwrap_or(SHORT_REST).min(LONG_REST) };
        self.rests.insert(tenant.clone(), Rest { time, until: Instant::now() + time, was_asked });
        time
    }

    fn append(
        &self,
        placed: &mut Placed,
        tenant: TenantId,
        mut end: End,
        records: Vec<RecordBytes>,
    ) -> Result<(), Error> {
        let random = self.store.keyring().random();
        placed.records += records.len() as u64;
        let appended = end.log.append(records, random).map_err(|error| Error::Key(error.into()))?;
        let key = end.key.as_ref().map(|(number, key)| (*number, &**key));
        let of_tenant = (&tenant, key);
        end.settled = append_rows(&mut placed.rows, of_tenant, (&appended, &end.log), end.settled, random)?;
        let mut ends_group = false;
        for (number, piece) in &appended.pieces {
            let is_whole = piece.records().len() == TILE_WIDTH;
            end.pieces += usize::from(!is_whole);
            // A bundle is to be joined, or a tile above may be full.
            ends_group |=
                piece.end() == TILE_WIDTH && (!is_whole || (number + 1).is_multiple_of(TILE_WIDTH as u64));
        }
        if ends_group || end.pieces >= MANY_PIECES {
            placed.to_fold.push(tenant.clone());
        }
        placed.ends.push((tenant, end));
        Ok(())
    }

    /// Makes new rows of the journal of records that wait.
    fn journal_again(
        &self,
        placed: &mut Placed,
        later: &BTreeMap<Duration, Vec<Entry>>,
    ) -> Result<(), Error> {
        let (now, random) = (self.store.now(), self.store.keyring().random());
        for (rest, entries) in later {
            let time = (now, now.after(*rest).micros());
            placed.waiting.extend(self.store.journal_keys().seal_all(entries, time, random)?);
        }
        Ok(())
    }
}

/// A record of a tenant that never was, for the platform's log: it says which tenant the call named, as refusals do.
fn named(tenant: &TenantId, bytes: RecordBytes) -> RecordBytes {
    let renamed = Record::decode(&bytes).ok().and_then(|mut record| {
        record.changed.insert(0, format!("tenants/{tenant}").into());
        record.tenant = TenantId::PLATFORM.into();
        record.encode().ok()
    });
    renamed.unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use credvault_domain::{Action, AuditEvent};

    use super::*;

    #[test]
    fn a_record_of_a_tenant_that_never_was_names_it_in_the_platforms_log() {
        let tenant = TenantId::parse("never").expect("an id");
        let event = AuditEvent {
            changed: Vec::from(["x".to_owned()]),
            ..AuditEvent::of(tenant.clone(), Action::FetchCredential)
        };
        let bytes = Entry::of(&event).expect("short").record;
        let renamed = named(&tenant, bytes);
        let record = Record::decode(&renamed).expect("a record");
        assert_eq!(
            (&*record.tenant, record.changed),
            (":platform", vec!["tenants/never".into(), "x".into()])
        );
        let unreadable = RecordBytes::new(vec![9]).expect("short");
        assert_eq!(named(&tenant, unreadable.clone()), unreadable, "nothing is lost");
    }
}
