//! What became of each connection that an administrator changes together with others, as a message.

use credvault_operations::tenants::{ChangedConnection, Outcome};

use super::{connection, fetch_error};
use credvault_proto::v1;

pub(crate) fn changed_connection(changed: ChangedConnection) -> v1::ConnectionChange {
    use v1::ConnectionChangeOutcome as Wire;
    let ChangedConnection { connection: after, outcome } = changed;
    let (outcome, error) = match outcome {
        Outcome::Changed => (Wire::Changed, None),
        Outcome::Unchanged => (Wire::Unchanged, None),
        Outcome::Inapplicable => (Wire::Inapplicable, None),
        Outcome::WouldChange => (Wire::WouldChange, None),
        Outcome::Refused(refusal) => (Wire::Refused, Some(fetch_error(&refusal))),
    };
    v1::ConnectionChange { connection: Some(connection(after)), outcome: outcome.into(), error }
}
