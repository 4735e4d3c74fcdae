//! When connections were used, in memory until it is written.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use credvault_domain::{ConnectionId, TenantId, Timestamp};

/// How many connections are noted at most until the next write. What comes beyond is noted with its next use.
const MAX_NOTED: usize = 100_000;

/// Uses that are not written yet.
#[derive(Default)]
pub(crate) struct LastUses(Mutex<HashMap<(TenantId, ConnectionId), Timestamp>>);

impl LastUses {
    /// Notes that connections were used.
    pub(crate) fn note(&self, used: Vec<(TenantId, ConnectionId)>, time: Timestamp) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in used {
            if noted.len() < MAX_NOTED || noted.contains_key(&connection) {
                // What could not be written comes back beside later uses.
                let last = noted.entry(connection).or_insert(time);
                *last = time.max(*last);
            }
        }
    }

    /// Takes all, one tenant after the other.
    pub(super) fn take(&self) -> Vec<(TenantId, ConnectionId, Timestamp)> {
        let taken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut uses: Vec<_> = taken.into_iter().map(|((tenant, id), time)| (tenant, id, time)).collect();
        // One tenant after the other, and every replica in the same order.
        uses.sort();
        uses
    }
}
