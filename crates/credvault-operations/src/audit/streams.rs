//! What streams of audit logs share: how many there may be, and the looks at the ends of logs. However many streams of a tenant
//! are open, a replica looks at the end of its log about three times a second.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use credvault_domain::{TenantId, TenantScope};
use credvault_store::{Error, Store};
use tokio::time::Instant;

use crate::Refusal;
use crate::room::{Room, Share};

/// How many streams of audit logs a replica has open at most.
const MAX_STREAMS: usize = 1024;
/// How many of them one tenant has at most.
const MAX_STREAMS_OF_TENANT: usize = 32;
/// For how long the end of a log that one stream has found is good for the others.
const FRESH: Duration = Duration::from_millis(300);

/// The streams of audit logs that are open.
pub(crate) struct Streams {
    room: Room<TenantId>,
    ends: std::sync::Mutex<HashMap<TenantId, Weak<End>>>,
}

impl Default for Streams {
    fn default() -> Self {
        let room = Room::new(MAX_STREAMS, MAX_STREAMS_OF_TENANT);
        Self { room, ends: std::sync::Mutex::default() }
    }
}

impl Streams {
    /// A place for another stream of a tenant's log.
    ///
    /// # Errors
    /// [`Refusal::TooManyStreams`] if the tenant, or the replica, has as many as it may have.
    pub(super) fn begin(&self, tenant: &TenantId) -> Result<Place, Refusal> {
        let share = self.room.account(tenant.clone()).try_take(1).ok_or(Refusal::TooManyStreams)?;
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let known = ends.get(tenant).and_then(Weak::upgrade);
        let end = known.unwrap_or_else(|| {
            let end = Arc::new(End::default());
            ends.retain(|_, end| end.strong_count() > 0);
            ends.insert(tenant.clone(), Arc::downgrade(&end));
            end
        });
        Ok(Place { _share: share, end })
    }
}

/// The place of one stream, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _share: Share,
    end: Arc<End>,
}

/// The end of one tenant's log, and when it was looked at.
#[derive(Default, Debug)]
struct End(tokio::sync::Mutex<Option<(Instant, u64)>>);

impl Place {
    /// The index that the next record of the tenant's log gets, as it was a moment ago.
    ///
    /// # Errors
    /// The tenant is suspended or erased; the log is shorter than it was; the database fails.
    pub(super) async fn end(&self, store: &Store, scope: &TenantScope) -> Result<u64, Error> {
        let mut known = self.end.0.lock().await;
        if let Some((time, end)) = *known
            && time.elapsed() < FRESH
        {
            return Ok(end);
        }
        let seen = known.map_or(0, |(_, end)| end);
        let end = store.audit().end(scope, seen).await?;
        *known = Some((Instant::now(), end));
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_some_streams_and_leaves_room_for_others() {
        let (streams, acme) = (Streams::default(), TenantId::parse("acme").expect("an id"));
        let mut places: Vec<_> = (0..MAX_STREAMS_OF_TENANT).map(|_| streams.begin(&acme)).collect();
        assert!(places.iter().all(Result::is_ok));
        assert!(matches!(streams.begin(&acme), Err(Refusal::TooManyStreams)));
        let other = streams.begin(&TenantId::parse("beta").expect("an id"));
        assert!(other.is_ok());
        places.pop();
        assert!(streams.begin(&acme).is_ok(), "a stream has ended");
    }

    #[test]
    fn streams_of_a_tenant_share_what_they_know_of_its_end() {
        let (streams, acme) = (Streams::default(), TenantId::parse("acme").expect("an id"));
        let [one, other] = [0, 1].map(|_| streams.begin(&acme).expect("a place"));
        assert!(Arc::ptr_eq(&one.end, &other.end));
        drop((one, other));
        let beta = streams.begin(&TenantId::parse("beta").expect("an id")).expect("a place");
        assert_eq!(streams.ends.lock().expect("ends").len(), 1, "what no stream needs is forgotten");
        drop(beta);
    }
}
