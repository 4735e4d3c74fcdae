//! Connections: created, read, listed, changed, deleted. Their credentials are in [`crate::credentials`].

mod change;
mod create;
mod describe;
mod disconnect;
mod grant;
mod import;
mod sync;
mod update;

use credvault_domain::{Connection, ConnectionId, HealthState};
use credvault_identity::Facts;
use credvault_store::{ConnectionFilter, Listed, Recorded};

use crate::services::Affected;
use crate::{Call, Paging, Parsed, Refusal};

pub use change::{Deleted, Purged, delete, purge, set_default, undelete};
pub use create::{Create, create};
pub(crate) use create::{chosen_mode, create_tested};
pub use describe::Described;
pub(crate) use describe::{describe, health_filter, providers_with_incident};
pub use disconnect::disconnect;
pub use grant::GrantOutcome;
pub use import::{Import, ImportedBatch, Item, ItemOutcome, import};
pub use sync::report_sync;
pub use update::{Update, update};

/// A connection that a change may have ended the use of.
#[derive(Debug)]
pub struct Stopped {
    /// The connection as it is now.
    pub connection: Connection,
    /// The services that use it; none if the change ended nothing.
    pub affected: Affected,
}

impl Stopped {
    /// The connection after a change that ended no use of it.
    pub(crate) fn nothing(connection: Connection) -> Self {
        Self { connection, affected: Affected::default() }
    }
}

/// `GetConnection`.
///
/// # Errors
/// There is no such connection, or policy does not permit it.
pub async fn get(call: &mut Call, id: ConnectionId) -> Result<Recorded<Described>, Refusal> {
    let scope = call.scope()?;
    let (permit, connection) = call.connection(id).await?;
    let context = call.context.clone();
    let syncs = context.store.syncs().of(&scope, &connection).await?;
    call.room(syncs.iter().map(|sync| sync.cursor.len() + sync.error.len()).sum()).await?;
    let described = describe(&context, &scope, vec![connection]).await?.pop();
    let described = described.ok_or(Refusal::Internal)?;
    call.recorded(&permit, Described { syncs, ..described }).await
}

/// `ListConnections`: those that pass the filter and that policy shows to the caller.
///
/// # Errors
/// Policy does not permit the list as a whole, or the filter's owner is out of reach.
pub async fn list(
    call: &mut Call,
    (mut filter, health): (ConnectionFilter, Option<HealthState>),
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<Described>>, Refusal> {
    let scope = call.scope()?;
    filter.health = health.map(|state| health_filter(&call.context, state));
    if let Some(owner) = &filter.owner {
        call.check_owner(&scope, owner)?;
    }
    let page = call.page(Some(&scope), paging).await?;
    let facts = Facts { provider: filter.provider.as_ref(), owner: filter.owner.as_ref(), purpose: None };
    let permit = call.permit(&scope, facts)?;
    let Listed { mut items, next_page_token } =
        call.context.store.connections().list(&scope, &filter, &page).await?;
    let mut shown = call.shown(&scope);
    items.retain(|item| shown.shows(Some(&item.provider), Some(&item.owner)));
    let items = describe(&call.context, &scope, items).await?;
    call.recorded(&permit, Listed { items, next_page_token }).await
}
