//! Connections that a person has begun to add by a consent, and left: they never had a credential. The page does not list them, so
//! they must not keep a name or the place of the default that nothing on the page shows as taken.

use std::time::Duration;

use credvault_domain::{Action, AuthMode, Config, Connection, ConnectionId, HealthState};
use credvault_identity::Facts;
use credvault_store::{ConnectionFilter, HealthFilter};

use super::entry::{ADDED_ON, CONNECT_PAGE};
use crate::call::record_refusal;
use crate::connections::{self, Create};
use crate::{Call, Paging, Refusal};

/// How long a consent can be completed. What was begun before that, and waits still, was left.
const CONSENT_LIFETIME: Duration = Duration::from_secs(600);
/// How many are looked at for one that is added.
const PAGE_ITEMS: i32 = 100;

/// Whether a person has begun to add a connection on the page, and it never had a credential.
pub(super) fn is_only_begun(connection: &Connection) -> bool {
    let is_added_here = connection.labels.iter().any(|label| label == (ADDED_ON, CONNECT_PAGE));
    // A credential that was taken away has left the result of its revocation.
    is_added_here && connection.current_version == 0 && connection.revocation.is_none()
}

/// Deletes those of an owner at a provider that were left, and the one whose name the new connection shall have. One with the mode
/// and settings `continued` stays, for the new consent continues it.
///
/// # Errors
/// Policy does not permit the new connection, or the database fails.
pub(super) async fn make_way(
    call: &mut Call,
    create: &Create,
    continued: Option<(&AuthMode, &Config)>,
) -> Result<(), Refusal> {
    // A name that is none is refused with all else that is wrong.
    let (scope, Ok(name)) = (call.scope()?, create.account_name.clone()) else { return Ok(()) };
    let owner = call.owner(&scope, create.owner.clone()?)?;
    let facts = Facts { provider: Some(&create.provider), owner: Some(&owner), purpose: None };
    let _permit = call.permit(&scope, facts)?;
    let filter = ConnectionFilter {
        owner: Some(owner),
        provider: Some(create.provider.clone()),
        health: Some(HealthFilter { state: HealthState::NotConnected, incidents: Vec::new() }),
        ..ConnectionFilter::default()
    };
    let page = call.page(Some(&scope), Paging::new(PAGE_ITEMS, String::new(), Vec::new())).await?;
    let found = call.context.store.connections().list(&scope, &filter, &page).await?.items;
    let now = call.context.now();
    let goes = |found: &Connection| {
        if found.account_name == name {
            continued != Some((&found.auth_mode, &found.config))
        } else {
            found.create_time.after(CONSENT_LIFETIME) < now
        }
    };
    let going = found.iter().filter(|found| is_only_begun(found) && goes(found));
    let going: Vec<ConnectionId> = going.map(|found| found.id).collect();
    for id in going {
        let mut part = call.part(Action::DeleteConnection);
        // Where policy does not permit it, the new connection is refused for its name.
        if let Err(refusal) = connections::delete(&mut part, id, None, false, Ok(None)).await {
            record_refusal(&part.context, part.refused_event(&refusal), &refusal).await;
        }
    }
    Ok(())
}
