//! What a change says of itself in the audit record of the caller who asked for it, and to a repetition.

use credvault_domain::{ConnectionId, UserId, Version};
use uuid::Uuid;

use super::{Change, PriorResult};

impl Change<'_> {
    /// Sets the connection that the change is about, for the caller's audit record and for a repetition.
    pub(crate) fn set_connection(&mut self, connection: ConnectionId, version: Option<Version>) {
        if let Some(request) = &mut self.request {
            request.record.connection = Some(connection);
            request.record.version = version.or(request.record.version);
            request.result = PriorResult { subject: Some(connection.as_uuid()), version };
        }
    }

    /// Sets the owner of that connection, for the caller's audit record.
    pub(crate) fn set_owner(&mut self, owner_user: &str) {
        if let Some(request) = &mut self.request {
            let owner = (!owner_user.is_empty()).then(|| UserId::from_stored(owner_user.to_owned()));
            request.record.owner_user = owner;
        }
    }

    /// Sets what the change is about if that is not a connection: its name for the caller's audit record, its id and
    /// generation for a repetition.
    pub(crate) fn set_subject(&mut self, id: Uuid, name: String, generation: Option<i64>) {
        if let Some(request) = &mut self.request {
            request.record.changed.insert(0, name);
            request.result = PriorResult { subject: Some(id), version: generation };
        }
    }

    /// Adds to the caller's audit record what the change has done.
    pub(crate) fn describe(&mut self, done: impl IntoIterator<Item = String>) {
        if let Some(request) = &mut self.request {
            request.record.changed.extend(done);
        }
    }
}
