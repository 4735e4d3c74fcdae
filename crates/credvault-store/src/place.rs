//! The key of a connection's row.

use credvault_domain::{ConnectionId, TenantId, TenantScope};

use crate::Store;

/// Where a credential lives. Made by a fetch within a verified scope, and by the search for what is due.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionId,
}

impl Place {
    /// The tenant, or the platform.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The id of the connection.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }
}

impl Store {
    /// The place of a connection that this scope has been found to reach.
    pub fn place_of(&self, scope: &TenantScope, connection: ConnectionId) -> Place {
        Place { tenant: scope.tenant().clone(), connection }
    }
}
