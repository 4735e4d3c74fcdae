//! The services that break when a connection is deleted, disconnected or disabled. Every use is accounted for: a caller that
//! may not see a use learns that there is one more.

use credvault_domain::{Action, ConnectionId, TenantScope};
use credvault_identity::Facts;
use credvault_store::{ConnectionUses, ServiceUse};

use crate::{Call, Refusal};

/// The services that the end of a connection breaks.
#[derive(Clone, Default, Debug)]
pub struct Affected {
    /// The uses of the connection in configs that the caller may list, at most 500.
    pub services: Vec<ServiceUse>,
    /// How many more uses there are: beyond that number, or in configs that the caller may not list.
    pub hidden: u64,
}

impl Affected {
    /// The same with at most `most` services by name. Those beyond it count as hidden.
    #[must_use]
    pub(crate) fn at_most(mut self, most: usize) -> Self {
        let beyond = self.services.len().saturating_sub(most);
        self.services.truncate(most);
        self.hidden = self.hidden.saturating_add(beyond as u64);
        self
    }
}

/// The uses of a connection by services.
///
/// # Errors
/// The tenant is not served, or the database fails.
pub(crate) async fn affected(
    call: &Call,
    scope: &TenantScope,
    id: ConnectionId,
) -> Result<Affected, Refusal> {
    let ConnectionUses { reached: mut services, total } =
        call.context.store.service_configs().uses_of(scope, id).await?;
    let listing = call.part(Action::ListServiceConfigs);
    if listing.permit(scope, Facts::default()).is_err() {
        services.clear();
    }
    let mut shown = listing.shown(scope);
    services.retain(|used| shown.shows(Some(&used.provider), Some(&used.owner)));
    let hidden = total.saturating_sub(services.len() as u64);
    Ok(Affected { services, hidden })
}
