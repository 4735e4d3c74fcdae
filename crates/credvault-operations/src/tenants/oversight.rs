//! The connections of a tenant, of all its users, as its administrators see and change them.

use credvault_domain::{HealthState, TenantId};
use credvault_identity::Facts;
use credvault_store::{ConnectionFilter, Listed, Recorded};

use crate::connections::{Described, describe, health_filter};
use crate::{Call, Paging, Parsed, Refusal};

/// A page of connections, and on the first page how many there are in all.
#[derive(Debug)]
pub struct CountedConnections {
    /// The connections of the page.
    pub listed: Listed<Described>,
    /// How many connections pass the filter, counted up to 100,000.
    pub total: Option<u64>,
}

/// `ListTenantConnections`: those that pass the filter and that policy shows to the caller.
///
/// # Errors
/// There is no such tenant, or policy does not permit the list as a whole.
pub async fn list_connections(
    call: &mut Call,
    tenant: Option<TenantId>,
    (mut filter, health): (ConnectionFilter, Option<HealthState>),
    paging: Parsed<Paging>,
) -> Result<Recorded<CountedConnections>, Refusal> {
    filter.health = health.map(|state| health_filter(&call.context, state));
    let facts = Facts { provider: filter.provider.as_ref(), owner: filter.owner.as_ref(), purpose: None };
    let (permit, scope) = call.administer(tenant, facts)?;
    let page = call.page(None, paging).await?;
    let connections = call.context.store.connections();
    let total = match page.token.is_empty() {
        true => Some(connections.count(&scope, &filter).await?),
        false => None,
    };
    let Listed { mut items, next_page_token } = connections.list_any(&scope, &filter, &page).await?;
    let mut shown = call.shown(&scope);
    items.retain(|item| shown.shows(Some(&item.provider), Some(&item.owner)));
    let items = describe(&call.context, &scope, items).await?;
    call.recorded(&permit, CountedConnections { listed: Listed { items, next_page_token }, total }).await
}
