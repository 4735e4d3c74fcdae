//! Connections that reports name, remembered for a while: a service reports about the same ones again and again.
//!
//! Neither provider nor owner of a connection changes. Of one that another process has purged, reports count for as long as
//! it is remembered; the counts of a deleted user are looked for much longer (`erasure`).

use std::sync::Arc;
use std::time::Duration;

use credvault_domain::{ConnectionId, Owner, ProviderId, TenantId, UserId};
use moka::sync::Cache;

use super::tally::Subject;

/// The most connections that are remembered: about 40 MiB.
const MAX_KNOWN: u64 = 100_000;
/// How long one is remembered.
const MEMORY: Duration = Duration::from_secs(60);

/// What is known of a connection that was used: enough to ask policy about it, also once it was purged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsedConnection {
    /// The provider of the connection.
    pub provider: ProviderId,
    /// The owner; none if it was a user who was deleted since.
    pub owner: Option<Owner>,
}

/// A connection as reports find it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) tenant: TenantId,
    pub(crate) used: UsedConnection,
    /// What its counts say of it; none for one of a deleted user.
    pub(crate) subject: Option<Subject>,
}

impl Known {
    pub(crate) fn new(tenant: &TenantId, used: UsedConnection) -> Self {
        let subject = used.owner.as_ref().map(|owner| Subject {
            provider: used.provider.as_str().into(),
            owner_user: owner.user().map_or("", UserId::as_str).into(),
        });
        Self { tenant: tenant.clone(), used, subject }
    }
}

/// The connections that are remembered, of all tenants.
pub(crate) struct KnownConnections(Cache<ConnectionId, Arc<Known>>);

impl Default for KnownConnections {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_KNOWN).time_to_live(MEMORY).build())
    }
}

impl KnownConnections {
    /// A connection of a tenant. One of another tenant is unknown here.
    pub(crate) fn get(&self, tenant: &TenantId, id: ConnectionId) -> Option<Arc<Known>> {
        self.0.get(&id).filter(|known| known.tenant == *tenant)
    }

    /// Forgets a connection, which is purged.
    pub(crate) fn forget(&self, id: ConnectionId) {
        self.0.invalidate(&id);
    }

    pub(crate) fn insert(&self, id: ConnectionId, known: &Arc<Known>) {
        self.0.insert(id, Arc::clone(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_of_another_tenant_is_unknown() {
        let tenant = |id| TenantId::parse(id).expect("id");
        let id = ConnectionId::from_uuid(uuid::Uuid::from_u128(1));
        let used = UsedConnection { provider: ProviderId::from_stored("generic".to_owned()), owner: None };
        let all = KnownConnections::default();
        all.insert(id, &Arc::new(Known::new(&tenant("acme"), used)));
        assert!(all.get(&tenant("acme"), id).is_some());
        assert!(all.get(&tenant("other"), id).is_none());
    }
}
