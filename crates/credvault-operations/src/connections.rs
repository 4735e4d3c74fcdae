//! Connections: created, read, listed, changed, deleted. Their credentials are in [`crate::credentials`].

mod change;
mod create;
mod disconnect;
mod import;
mod update;

use credvault_domain::{Connection, ConnectionId};
use credvault_identity::Facts;
use credvault_store::{ConnectionFilter, Listed, Recorded};

use crate::{Call, Paging, Parsed, Refusal};

pub use change::{delete, purge, set_default, undelete};
pub use create::{Create, create};
pub use disconnect::disconnect;
pub use import::{Import, Item, ItemOutcome, import};
pub use update::{Update, update};

/// `GetConnection`.
///
/// # Errors
/// There is no such connection, or policy does not permit it.
pub async fn get(call: &mut Call, id: ConnectionId) -> Result<Recorded<Connection>, Refusal> {
    let (permit, connection) = call.connection(id).await?;
    call.recorded(&permit, connection).await
}

/// `ListConnections`: those that pass the filter and that policy shows to the caller.
///
/// # Errors
/// Policy does not permit the list as a whole, or the filter's owner is out of reach.
pub async fn list(
    call: &mut Call,
    filter: ConnectionFilter,
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<Connection>>, Refusal> {
    let scope = call.scope()?;
    if let Some(owner) = &filter.owner {
        call.check_owner(&scope, owner)?;
    }
    let page = call.page(Some(&scope), paging).await?;
    let facts = Facts { provider: filter.provider.as_ref(), owner: filter.owner.as_ref(), purpose: None };
    let permit = call.permit(&scope, facts)?;
    let mut listed = call.context.store.connections().list(&scope, &filter, &page).await?;
    let mut shown = call.shown(&scope);
    listed.items.retain(|item| shown.shows(Some(&item.provider), Some(&item.owner)));
    call.recorded(&permit, listed).await
}
