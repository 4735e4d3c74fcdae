//! The ends of logs, to which the sequencer appends: read from the newest row of each log, and kept in memory while this
//! process sequences.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use credvault_audit::{BundleSeed, Frontier, TILE_WIDTH, TenantLog};
use credvault_crypto::AuditKey;
use credvault_domain::TenantId;
use sea_orm::DatabaseTransaction;

use super::keys::{AuditKeys, audit_keys, newest_number};
use super::pieces::{column, newest, opened, pieces};
use super::whole::BUNDLE_RECORDS;
use crate::database::transaction::{Access, begin};
use crate::integrity::alarm;
use crate::{Error, Store};

/// For how long at most an end is used before it is read again: then a new key of the tenant, or its erasure, is noticed.
const LIFETIME: Duration = Duration::from_secs(300);
/// How many ends are kept at most; each takes about a kilobyte.
const MAX_ENDS: usize = 20_000;

/// The end of one tenant's log.
#[derive(Clone)]
pub(super) struct End {
    pub(super) log: TenantLog,
    /// What new records are sealed under; none if the tenant was erased.
    pub(super) key: Option<(i64, Arc<AuditKey>)>,
    /// The place before which all rows are whole bundles.
    pub(super) settled: i64,
    /// How many pieces there are that are not joined.
    pub(super) pieces: usize,
    /// Until when it is used.
    until: Instant,
}

/// What was found at the end of a log.
pub(super) enum Found {
    /// The log ends here, or is empty.
    End(Box<End>),
    /// There is no such tenant, and never was.
    NoTenant,
}

/// The ends that are in memory.
#[derive(Default)]
pub(super) struct Ends(HashMap<TenantId, End>);

impl Ends {
    pub(super) fn get(&self, tenant: &TenantId) -> Option<&End> {
        self.0.get(tenant).filter(|end| Instant::now() < end.until)
    }

    /// Keeps ends, after what they say was committed.
    pub(super) fn keep(&mut self, ends: impl IntoIterator<Item = (TenantId, End)>) {
        self.0.extend(ends);
        if self.0.len() > MAX_ENDS {
            let soon = Instant::now() + LIFETIME / 4;
            self.0.retain(|_, end| soon < end.until);
        }
        // All of them are used: to read some again is cheaper than to keep count of which.
        if self.0.len() > MAX_ENDS {
            self.0.clear();
        }
    }

    /// Notes that a tenant's pieces were joined: all that are left are of the last bundle.
    pub(super) fn joined(&mut self, tenant: &TenantId) {
        if let Some(end) = self.0.get_mut(tenant) {
            let size = column(end.log.frontier().size());
            (end.settled, end.pieces) = (size - size % BUNDLE_RECORDS, 1);
        }
    }

    /// Forgets the ends of logs that may have grown.
    pub(super) fn forget<'a>(&mut self, tenants: impl IntoIterator<Item = &'a TenantId>) {
        for tenant in tenants {
            self.0.remove(tenant);
        }
    }

    /// Forgets all: what is stored may be other than what this process believes.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Reads the end of a tenant's log.
///
/// # Errors
/// The tenant's key does not unwrap; [`Error::Integrity`] if a row does not open or was altered; the database fails.
pub(super) async fn read(store: &Store, tenant: &TenantId) -> Result<Found, Error> {
    match read_with_keys(store, tenant).await {
        // The first time, and after a rotation of the tenant's key.
        Ok(None) => store.make_audit_key(tenant).await?,
        Ok(Some(end)) => return Ok(Found::End(Box::new(end))),
        Err(Error::TenantNotFound(_)) => {
            if !store.is_erased(tenant).await? {
                return Ok(Found::NoTenant);
            }
            let tx = begin(&store.reader(), store.database(), Access::Read, tenant).await?;
            let end = end(store, &tx, tenant, None).await?;
            tx.rollback().await?;
            return Ok(Found::End(Box::new(end)));
        }
        Err(error) => return Err(error),
    }
    let end = read_with_keys(store, tenant).await?.ok_or(Error::Conflict)?;
    Ok(Found::End(Box::new(end)))
}

/// The end of the log of a tenant that has keys; `None` if it has no audit key of its newest one.
async fn read_with_keys(store: &Store, tenant: &TenantId) -> Result<Option<End>, Error> {
    let (tx, keys, _) = store.begin_with_keys(&store.reader(), Access::Read, tenant).await?;
    let (all, number) = (audit_keys(&tx, tenant, &keys).await?, newest_number(&keys));
    let Some(newest) = all.get(&number) else { return Ok(None) };
    // It was altered: there will be another one with the next rotation of the tenant's key.
    let key = newest.clone().ok_or(Error::Integrity)?;
    let end = end(store, &tx, tenant, Some((number, key, &all))).await?;
    tx.rollback().await?;
    Ok(Some(end))
}

async fn end(
    store: &Store,
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    keys: Option<(i64, Arc<AuditKey>, &AuditKeys)>,
) -> Result<End, Error> {
    let row = newest(tx, tenant).await?;
    let key = keys.as_ref().map(|(number, key, _)| (*number, Arc::clone(key)));
    let Some(row) = row else {
        return Ok(End { log: TenantLog::begin(), key, settled: 0, pieces: 0, until: until(store)? });
    };
    let altered = || {
        alarm(tenant, "audit_log", [0; 16]);
        Error::Integrity
    };
    let frontier = row.frontier.as_deref().and_then(|bytes| Frontier::decode(bytes).ok());
    let size = u64::try_from(row.start.saturating_add(row.records)).ok();
    let frontier = frontier.filter(|frontier| Some(frontier.size()) == size).ok_or_else(altered)?;
    let is_partial = !frontier.size().is_multiple_of(TILE_WIDTH as u64);
    let seed = match &keys {
        Some((_, _, all)) if is_partial => Some(opened(tenant, &row, all)?.seed().clone()),
        // What follows is thrown away with its blinding.
        None if is_partial => Some(seed(store)?),
        Some(_) | None => None,
    };
    let log = TenantLog::resume(frontier, seed).ok_or_else(altered)?;
    let settled = row.settled;
    Ok(End { log, key, settled, pieces: pieces(tx, tenant, settled).await?.len(), until: until(store)? })
}

/// Until when an end is used that is read now. Ends that are read together must not have to be read again together.
fn until(store: &Store) -> Result<Instant, Error> {
    let mut random = [0];
    store.keyring().random().fill(&mut random).map_err(|error| Error::Key(error.into()))?;
    let [part] = random.map(u32::from);
    Ok(Instant::now() + LIFETIME / 2 + LIFETIME / 512 * part)
}

fn seed(store: &Store) -> Result<BundleSeed, Error> {
    BundleSeed::generate(store.keyring().random()).map_err(|error| Error::Key(error.into()))
}
