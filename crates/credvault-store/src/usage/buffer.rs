//! The vault's own counts of fetches and refreshes, in memory until they are written. A process that is killed loses what
//! it has counted since the last write; a process that stops in order loses nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use credvault_domain::{
    Action, AuditEvent, AuditOutcome, Connection, ConnectionId, Day, ServiceId, TenantId, Timestamp,
    UsageCounts, UserId,
};
use tokio::sync::Notify;

use super::owner::OF_PLATFORM;
use super::tally::{Subject, Tally, UsageKey};

/// How many different counts are kept in memory: about 20 MiB. What comes beyond is lost, and counted as that.
const MAX_BUFFERED: usize = 50_000;

/// The vault's own counts since the last write.
#[derive(Default)]
pub(crate) struct Buffer {
    counts: Mutex<HashMap<(TenantId, UsageKey), (Subject, UsageCounts)>>,
    /// Many have come: they are written sooner.
    crowded: Notify,
}

/// One thing that the vault did with a connection.
pub(crate) struct OwnCount {
    tenant: TenantId,
    key: UsageKey,
    subject: Subject,
    counts: UsageCounts,
}

impl OwnCount {
    /// A fetch, if the record is of one that succeeded. It counts where its caller works, also for a connection
    /// `of_platform`.
    pub(crate) fn of_fetch(event: &AuditEvent, of_platform: bool, now: Timestamp) -> Option<Self> {
        if event.action != Action::FetchCredential || event.outcome != AuditOutcome::Ok {
            return None;
        }
        let (Some(connection), Some(provider)) = (event.connection, &event.provider) else { return None };
        let (service, user) =
            (event.service.as_ref()?.as_str(), event.user.as_ref().map_or("", UserId::as_str));
        let shared_by = if of_platform { OF_PLATFORM } else { "" };
        let subject = Subject {
            provider: provider.as_str().into(),
            owner_user: event.owner_user.as_ref().map_or(shared_by, UserId::as_str).into(),
        };
        let counts = UsageCounts { fetches: 1, ..UsageCounts::default() };
        let key = own_key(connection, now, service, user);
        Some(Self { tenant: event.tenant.clone(), key, subject, counts })
    }

    /// A refresh, which the vault makes for no caller in particular.
    pub(crate) fn of_refresh(tenant: &TenantId, connection: &Connection, now: Timestamp) -> Self {
        let subject = Subject {
            provider: connection.provider.as_str().into(),
            owner_user: connection.owner.user().map_or("", UserId::as_str).into(),
        };
        let counts = UsageCounts { refreshes: 1, ..UsageCounts::default() };
        let key = own_key(connection.id, now, ServiceId::VAULT, "");
        Self { tenant: tenant.clone(), key, subject, counts }
    }
}

fn own_key(connection: ConnectionId, now: Timestamp, service: &str, user: &str) -> UsageKey {
    UsageKey {
        connection,
        day: Day::of(now),
        endpoint: "".into(),
        service: service.into(),
        user: user.into(),
    }
}

impl Buffer {
    /// Adds what the vault did.
    pub(crate) fn add(self: &Arc<Self>, own: OwnCount) {
        let OwnCount { tenant, key, subject, counts } = own;
        self.put((tenant, key), subject, &counts);
    }

    /// Takes everything out, by tenant.
    pub(crate) fn take(&self) -> HashMap<TenantId, Tally> {
        let taken = std::mem::take(&mut *self.counts());
        let held = u32::try_from(taken.len()).map_or(f64::MAX, f64::from);
        metrics::gauge!("credvault_usage_buffered").set(held);
        let mut tenants: HashMap<TenantId, Tally> = HashMap::new();
        for ((tenant, key), (subject, counts)) in taken {
            tenants.entry(tenant).or_default().add(key, subject, &counts);
        }
        tenants
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back(&self, tenant: &TenantId, tally: Tally) {
        for (key, (subject, counts)) in tally.0 {
            self.put((tenant.clone(), key), subject, &counts);
        }
    }

    /// Waits until many counts have come.
    pub(crate) async fn crowded(&self) {
        self.crowded.notified().await;
    }

    fn put(&self, key: (TenantId, UsageKey), subject: Subject, counts: &UsageCounts) {
        let mut all = self.counts();
        if all.len() >= MAX_BUFFERED && !all.contains_key(&key) {
            note_lost(counts);
            return;
        }
        all.entry(key).or_insert_with(|| (subject, UsageCounts::default())).1.add(counts);
        let held = all.len();
        drop(all);
        if held >= MAX_BUFFERED / 2 {
            self.crowded.notify_one();
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<(TenantId, UsageKey), (Subject, UsageCounts)>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows that counts of the vault's own are lost.
pub(crate) fn note_lost(counts: &UsageCounts) {
    let lost = u64::try_from(counts.fetches.saturating_add(counts.refreshes)).unwrap_or_default();
    metrics::counter!("credvault_usage_lost_total").increment(lost);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(user: usize) -> ((TenantId, UsageKey), Subject, UsageCounts) {
        let tenant = TenantId::parse("acme").expect("id");
        let connection = ConnectionId::from_uuid(uuid::Uuid::from_u128(1));
        let key = own_key(connection, Timestamp::default(), "spiffe://test/app", &format!("u{user}"));
        let subject = Subject { provider: "generic".into(), owner_user: "".into() };
        ((tenant, key), subject, UsageCounts { fetches: 1, ..UsageCounts::default() })
    }

    #[tokio::test]
    async fn memory_is_bounded_and_known_counts_still_count() {
        let buffer = Buffer::default();
        for user in 0..MAX_BUFFERED + 10 {
            let (key, subject, counts) = fetch(user);
            buffer.put(key, subject, &counts);
        }
        let (key, subject, counts) = fetch(0);
        buffer.put(key, subject, &counts);
        buffer.crowded().await;
        let taken = buffer.take();
        let tally = taken.values().next().expect("one tenant");
        assert_eq!(tally.0.len(), MAX_BUFFERED);
        let fetches: i64 = tally.0.values().map(|(_, counts)| counts.fetches).sum();
        assert_eq!(fetches, MAX_BUFFERED as i64 + 1);
        assert!(buffer.take().is_empty());
        // What could not be written is counted later, once.
        let (tenant, tally) = taken.into_iter().next().expect("one tenant");
        buffer.put_back(&tenant, tally);
        assert_eq!(buffer.take()[&tenant].0.len(), MAX_BUFFERED);
    }
}
