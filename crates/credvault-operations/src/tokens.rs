//! Tokens and tests: refreshes that a caller insists on, and whether a stored credential works at its provider.

pub mod due_tests;
mod test;

use credvault_broker::Need;
use credvault_domain::{Connection, ConnectionId};
use credvault_store::{Recorded, Selector};

use crate::{Call, Refusal};

pub(crate) use test::test_by_vault;
pub use test::{Tested, test};

/// `RefreshConnection`: refreshes the access token now, whether it is near its end or not.
///
/// # Errors
/// Policy does not permit it, the tenant's callers insist too often, or there is no fresh token.
pub async fn refresh(call: &mut Call, id: ConnectionId) -> Result<Recorded<Connection>, Refusal> {
    let scope = call.scope()?;
    let (permit, connection) = call.connection(id).await?;
    let context = call.context.clone();
    let _mode = context.mode(&connection.provider, &connection.auth_mode)?;
    call.count_forced(&scope).await?;
    let selector = Selector::Connection { id, version: None };
    let fetched = context.store.credentials().fetch(&scope, &selector).await?;
    let seen = fetched.generation();
    context.broker.refreshed_by(call.patience(), fetched.key(), seen, Need::Forced).await?;
    let connection = context.store.connections().get(&scope, id).await?;
    call.recorded(&permit, connection).await
}
