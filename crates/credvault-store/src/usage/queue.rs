//! Room for the reports that wait for the writer. What they hold in memory is bounded, and no service of a tenant can take
//! all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use credvault_domain::TenantId;

/// How many counts may wait: about 100 MiB.
const MAX_WAITING: usize = 480_000;
/// How many of them may be of one service in one tenant.
const MAX_WAITING_OF_SERVICE: usize = MAX_WAITING / 3;
/// As how many counts a small report weighs.
const SMALL_REPORT: usize = 64;

/// Which service reports in which tenant.
type Sender = (TenantId, Arc<str>);

/// The room that reports wait in.
#[derive(Default)]
pub(super) struct Room(Mutex<Held>);

#[derive(Default)]
struct Held {
    all: usize,
    of_senders: HashMap<Sender, usize>,
}

/// The place of a report that waits. Dropped with the report, however that ends.
pub(super) struct Place {
    room: Arc<Room>,
    sender: Sender,
    weight: usize,
}

impl Room {
    /// A place for so many counts; `None` if too many wait, of all or of this service in this tenant.
    pub(super) fn take(
        self: &Arc<Self>,
        tenant: &TenantId,
        service: &Arc<str>,
        counts: usize,
    ) -> Option<Place> {
        let weight = counts.max(SMALL_REPORT);
        let sender = (tenant.clone(), Arc::clone(service));
        let mut held = self.held();
        let of_sender = held.of_senders.get(&sender).copied().unwrap_or_default() + weight;
        if of_sender > MAX_WAITING_OF_SERVICE || held.all + weight > MAX_WAITING {
            return None;
        }
        held.all += weight;
        held.of_senders.insert(sender.clone(), of_sender);
        Some(Place { room: Arc::clone(self), sender, weight })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.room.held();
        held.all = held.all.saturating_sub(self.weight);
        let Some(of_sender) = held.of_senders.get_mut(&self.sender) else { return };
        *of_sender = of_sender.saturating_sub(self.weight);
        if *of_sender == 0 {
            held.of_senders.remove(&self.sender);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_floods_one_tenant_keeps_out_itself_only() {
        let room = Arc::new(Room::default());
        let take = |tenant: &str, service: &str, counts| {
            room.take(&TenantId::parse(tenant).expect("id"), &Arc::from(service), counts)
        };
        let flood: Vec<_> = std::iter::from_fn(|| take("acme", "a", 1)).collect();
        assert_eq!(flood.len(), MAX_WAITING_OF_SERVICE / SMALL_REPORT);
        assert!(take("acme", "b", 5_000).is_some() && take("bolt", "a", 5_000).is_some());
        // Together they cannot take more than there is.
        let second: Vec<_> = std::iter::from_fn(|| take("bolt", "a", 5_000)).collect();
        let third: Vec<_> = std::iter::from_fn(|| take("crux", "a", 5_000)).collect();
        assert!(take("acme", "b", 5_000).is_none());
        drop((second, third));
        assert!(take("acme", "b", 5_000).is_some() && take("acme", "a", 1).is_none());
        drop(flood);
        assert!(take("acme", "a", 1).is_some());
        let left = room.held();
        assert_eq!((left.all, left.of_senders.len()), (0, 0));
    }
}
