//! The key of a connection's rows.

use credvault_domain::{ConnectionId, TenantId, TenantScope};

use uuid::Uuid;

use crate::Store;

/// What a connection is found by, in all tables: its tenant and its id. Made by a fetch within a verified scope, and by the
/// search for what is due.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ConnectionKey {
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionId,
}

impl ConnectionKey {
    /// The key in a row that was read.
    pub(crate) fn from_stored(tenant: String, connection: Uuid) -> Self {
        Self { tenant: TenantId::from_stored(tenant), connection: ConnectionId::from_uuid(connection) }
    }

    /// The tenant, or the platform.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The id of the connection.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The primary key of its row in each table that has one row for a connection.
    pub(crate) fn row_id(&self) -> (String, Uuid) {
        (self.tenant.as_str().to_owned(), self.connection.as_uuid())
    }
}

impl Store {
    /// The key of a connection that this scope has been found to reach.
    pub fn connection_key(&self, scope: &TenantScope, connection: ConnectionId) -> ConnectionKey {
        ConnectionKey { tenant: scope.tenant().clone(), connection }
    }
}
