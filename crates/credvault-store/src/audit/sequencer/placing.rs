//! Where the records of a round go: to their tenants' logs, to the platform's, or back into the journal for a while. Nothing is
//! written here.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use credvault_audit::{Record, RecordBytes, TILE_WIDTH};
use credvault_domain::{TenantId, chain};
use futures::StreamExt as _;
use uuid::Uuid;

use super::taking::Taken;
use super::{SIDE_BY_SIDE, Sequencer};
use crate::Error;
use crate::audit::ends::{self, End, Found};
use crate::audit::journal::Entry;
use crate::audit::pieces::{Rows, append_rows};
use crate::entity::audit_journal;

/// How long records wait whose tenant's key is not to be had at the moment.
const SHORT_REST: Duration = Duration::from_secs(5);
/// How long records wait whose tenant's log was altered, or which the database refuses.
const LONG_REST: Duration = Duration::from_secs(60);
/// From how many pieces on they are joined, although their bundle is not complete.
const MANY_PIECES: usize = 64;

/// What one transaction is to write.
pub(super) struct Placed {
    /// The rows of the journal that go.
    pub(super) ids: Vec<Uuid>,
    /// The rows of the journal that are set aside.
    pub(super) spoiled: Vec<Uuid>,
    pub(super) rows: Rows,
    /// New rows of the journal, of records that wait.
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

type Groups = BTreeMap<TenantId, Vec<RecordBytes>>;

/// Records that wait for another round.
#[derive(Default)]
struct Later {
    short: Vec<Entry>,
    long: Vec<Entry>,
    tenants: usize,
    /// Why the first of them wait.
    reason: Option<String>,
}

impl Later {
    fn add(&mut self, tenant: &TenantId, records: Vec<RecordBytes>, error: &Error) {
        let entries = records.into_iter().map(|record| Entry { tenant: tenant.clone(), record });
        let rest = if matches!(error, Error::Integrity) { &mut self.long } else { &mut self.short };
        rest.extend(entries);
        self.tenants += 1;
        self.reason.get_or_insert_with(|| chain(error));
    }
}

impl Sequencer {
    /// Finds the ends of the logs and appends to copies of them.
    pub(super) async fn place(&mut self, taken: Taken) -> Result<Placed, Error> {
        let Taken { ids, spoiled, mut groups, .. } = taken;
        let mut later = Later::default();
        let now = Instant::now();
        self.refused.retain(|_, until| *until > now);
        for tenant in self.refused.keys() {
            if let Some(records) = groups.remove(tenant) {
                later.add(tenant, records, &Error::Integrity);
            }
        }
        // Records of tenants that never were go there.
        groups.entry(TenantId::platform()).or_default();
        let read = self.read_ends(&mut groups, &mut later).await;
        let mut placed = Placed {
            ids,
            spoiled,
            rows: Rows::default(),
            waiting: Vec::new(),
            ends: Vec::new(),
            to_fold: Vec::new(),
            records: 0,
        };
        for (tenant, records) in groups {
            match read.get(&tenant).or_else(|| self.ends.get(&tenant)) {
                Some(end) => self.append(&mut placed, tenant, end.clone(), records)?,
                // The platform's, whose log is not to be had.
                None => later.add(&tenant, records, &Error::Conflict),
            }
        }
        self.journal_again(&mut placed, &later)?;
        // If the round fails, the next one need not read them again.
        self.ends.keep(read);
        Ok(placed)
    }

    /// Reads the ends that are not in memory. Records of tenants that never were become the platform's, and those of tenants
    /// whose log is not to be had wait.
    async fn read_ends(&self, groups: &mut Groups, later: &mut Later) -> HashMap<TenantId, End> {
        let store = &self.store;
        let unknown: Vec<_> =
            groups.keys().filter(|tenant| self.ends.get(tenant).is_none()).cloned().collect();
        let reading = unknown.into_iter().map(|tenant| async move {
            let found = ends::read(store, &tenant).await;
            (tenant, found)
        });
        let mut found: Vec<_> = futures::stream::iter(reading).buffer_unordered(SIDE_BY_SIDE).collect().await;
        // Records of tenants that never were come in the same order, however fast the answers were.
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut ends = HashMap::new();
        for (tenant, found) in found {
            match found {
                Ok(Found::End(end)) => drop(ends.insert(tenant, *end)),
                Ok(Found::NoTenant) => {
                    let records = groups.remove(&tenant).unwrap_or_default();
                    let named = records.into_iter().map(|record| named(&tenant, record));
                    groups.entry(TenantId::platform()).or_default().extend(named);
                }
                Err(error) => later.add(&tenant, groups.remove(&tenant).unwrap_or_default(), &error),
            }
        }
        ends
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
    fn journal_again(&self, placed: &mut Placed, later: &Later) -> Result<(), Error> {
        let (now, random) = (self.store.now(), self.store.keyring().random());
        for (entries, rest) in [(&later.short, SHORT_REST), (&later.long, LONG_REST)] {
            let time = (now, now.after(rest).micros());
            placed.waiting.extend(self.store.journal_keys().seal_all(entries, time, random)?);
        }
        if let Some(reason) = &later.reason {
            let records = later.short.len() + later.long.len();
            tracing::warn!(
                tenants = later.tenants,
                records,
                reason,
                "audit records are durable and wait for the log of their tenant"
            );
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
