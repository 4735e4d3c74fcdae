//! The services that break when a connection is deleted, disconnected or disabled.

use credvault_domain::{Action, ConnectionId, TenantScope};
use credvault_identity::Facts;
use credvault_store::ServiceUse;

use crate::{Call, Refusal};

/// The uses of a connection by services, as far as the caller may list their configs.
///
/// # Errors
/// The database fails.
pub(crate) async fn affected(
    call: &Call,
    scope: &TenantScope,
    id: ConnectionId,
) -> Result<Vec<ServiceUse>, Refusal> {
    let listing = call.part(Action::ListServiceConfigs);
    if listing.permit(scope, Facts::default()).is_err() {
        return Ok(Vec::new());
    }
    let mut uses = call.context.store.service_configs().uses_of(scope, id).await?;
    let mut shown = listing.shown(scope);
    uses.retain(|used| shown.shows(Some(&used.provider), Some(&used.owner)));
    Ok(uses)
}
