//! One connection to be imported, and the label by which it is recognised.

use credvault_domain::{AuditEvent, Destinations, Labels};

use crate::{NewConnection, NewCredential};

/// The label that names the source of an imported connection.
pub const IMPORTED_FROM: &str = "imported_from";

/// One connection to be imported.
#[derive(Debug)]
pub struct ImportItem {
    /// The connection, with its source as a label.
    pub new: NewConnection,
    /// Its credential, if there is one.
    pub credential: Option<NewCredential>,
    /// Which of its settings decide where a secret is sent. `None` if some come from an issuer's metadata: then a row that
    /// was imported before cannot change its settings.
    pub destinations: Option<Destinations>,
    /// Whether it becomes its owner's default when it is created.
    pub make_default: bool,
    /// The audit record of its success.
    pub record: AuditEvent,
}

/// The source that labels name.
pub(super) fn source(labels: &Labels) -> Option<&str> {
    labels.iter().find(|(key, _)| *key == IMPORTED_FROM).map(|(_, value)| value)
}
