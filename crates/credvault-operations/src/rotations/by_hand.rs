//! What to do where the provider has no call that makes another key.

use credvault_broker::RotationError;
use credvault_catalog::Mode;
use credvault_domain::Connection;

use crate::Context;

/// Says how a person replaces the credential of a connection.
pub(super) fn error(context: &Context, connection: &Connection, mode: &Mode) -> RotationError {
    let provider = &connection.provider;
    let name = context.catalog.get(provider).map_or(provider.as_str(), |found| found.display_name.as_str());
    let places = mode.places_of_secrets().join(" ");
    let places = if places.is_empty() { places } else { format!(" ({places})") };
    RotationError::ByHand { provider: name.to_owned(), places }
}
