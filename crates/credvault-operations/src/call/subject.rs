//! What a call is about, as its audit record names it.

use credvault_domain::{Connection, ConnectionId, ProviderId, Purpose, TenantId, UserId, Version};

/// What a call is about. An operation sets it when the request has named it, and completes it from what it finds before it
/// takes a `Write` or records; so a refusal is on record with its subject, too.
#[derive(Clone, Default, Debug)]
pub(crate) struct Subject {
    /// The tenant that an administrator works on.
    pub(crate) tenant: Option<TenantId>,
    /// The connection, whether there is one of this id or not.
    pub(crate) connection: Option<ConnectionId>,
    /// The user who owns what the call is about: only a reach that has this user is shown the record.
    pub(crate) owner_user: Option<UserId>,
    pub(crate) provider: Option<ProviderId>,
    pub(crate) version: Option<Version>,
    /// What the caller wants a credential for.
    pub(crate) purpose: Option<Purpose>,
    /// The name of what is no connection, such as `event_endpoints/ID`, for the record of a refusal. Where the call
    /// succeeds, the store names it.
    pub(crate) other: Option<String>,
    /// The names of the fields that the call changes.
    pub(crate) changed: Vec<String>,
    /// The names of what leaves the vault although it is kept inside otherwise.
    pub(crate) released: Vec<String>,
}

impl Subject {
    /// A connection that the request names by its id.
    pub(crate) fn connection(id: ConnectionId) -> Self {
        Self { connection: Some(id), ..Self::default() }
    }

    /// A provider that the request names.
    pub(crate) fn provider(id: &ProviderId) -> Self {
        Self { provider: Some(id.clone()), ..Self::default() }
    }

    /// Completes it from the connection that was found.
    pub(crate) fn found(&mut self, connection: &Connection) {
        self.connection = Some(connection.id);
        self.owner_user = connection.owner.user().cloned();
        self.provider = Some(connection.provider.clone());
    }
}
