//! `ImportConnections`: connections that another system had, each with its own outcome.

use credvault_domain::{AuditEvent, ConnectionId, Permit, TenantScope, Violations};
use credvault_identity::Facts;
use credvault_store::{ImportItem, Imported, NewConnection, NewCredential, Recorded};

use super::Create;
use super::create::checked;
use crate::call::{Subject, note_refusal};
use crate::{Call, Parsed, Refusal};

/// How many items a batch has at most.
const MAX_ITEMS: usize = 200;

/// A batch of connections to be imported.
#[derive(Debug)]
pub struct Import {
    /// The items, in the request's order.
    pub items: Vec<Parsed<Item>>,
    /// Whether a connection that was imported before gets a credential that it never had.
    pub replace: bool,
    /// Whether nothing is to be changed.
    pub validate_only: bool,
}

/// One connection to be imported.
#[derive(Debug)]
pub struct Item {
    /// The connection, with its source among its labels. It has no request id.
    pub create: Create,
    /// Whether it becomes its owner's default.
    pub make_default: bool,
}

/// What became of an item.
#[derive(Debug)]
pub enum ItemOutcome {
    /// The connection was created. `None`: it would be.
    Created(Option<ConnectionId>),
    /// The connection was there from the same source, and stays as it is.
    Unchanged(ConnectionId),
    /// The connection was there from the same source, and has the item's credential now, or would have it.
    Replaced(ConnectionId),
    /// The item was refused.
    Refused(Refusal),
}

/// `ImportConnections`: an outcome for each item, in their order.
///
/// # Errors
/// Policy does not permit imports, there are too many items, or the batch as a whole fails.
pub async fn import(call: &mut Call, import: Import) -> Result<Recorded<Vec<ItemOutcome>>, Refusal> {
    let Import { items, replace, validate_only } = import;
    let scope = call.scope()?;
    let permit = call.permit(&scope, Facts::default())?;
    if !(1..=MAX_ITEMS).contains(&items.len()) {
        return Err(Violations::of("items", format!("must be 1 to {MAX_ITEMS}")).into());
    }
    let mut batch = Batch::default();
    for item in items {
        batch.prepare(call, &scope, item);
    }
    let Batch { accepted, refused, places } = batch;
    let write = call.write(&permit, Ok(None))?;
    let connections = call.context.store.connections();
    if validate_only {
        let found = connections.check_import(&scope, &accepted, replace, &write).await?;
        return call.recorded(&permit, outcomes(places, found, true)).await;
    }
    let imported = connections.import(&scope, &accepted, replace, &refused, &write).await?;
    Ok(imported.map(|found| outcomes(places, found, false)))
}

/// The items, sorted into those for the store and those that are refused.
#[derive(Default)]
struct Batch {
    accepted: Vec<ImportItem>,
    /// The records of refused items.
    refused: Vec<AuditEvent>,
    /// Why each item was refused, in the order of the request; `None` for those for the store.
    places: Vec<Option<Refusal>>,
}

impl Batch {
    fn prepare(&mut self, call: &Call, scope: &TenantScope, item: Parsed<Item>) {
        let mut part = call.part(call.action);
        let prepared = item.map_err(Refusal::from).and_then(|item| prepared(&mut part, scope, item));
        match prepared {
            Ok(item) => {
                self.accepted.push(item);
                self.places.push(None);
            }
            Err(refusal) => {
                note_refusal(part.action, &refusal);
                self.refused.push(part.refused_event(&refusal));
                self.places.push(Some(refusal));
            }
        }
    }
}

/// An item that policy permits and the catalog accepts.
fn prepared(part: &mut Call, scope: &TenantScope, item: Item) -> Result<ImportItem, Refusal> {
    let Item { mut create, make_default } = item;
    part.about(Subject::provider(&create.provider));
    let named = std::mem::replace(&mut create.owner, Ok(None))?;
    let owner = part.owner(scope, named)?;
    let facts = Facts { provider: Some(&create.provider), owner: Some(&owner), purpose: None };
    let permit: Permit = part.permit(scope, facts)?;
    part.subject.owner_user = owner.user().cloned();
    let (new, credential): (NewConnection, Option<NewCredential>) = checked(&part.context, owner, create)?;
    Ok(ImportItem { new, credential, make_default, record: part.event_of(&permit) })
}

/// Puts the store's outcomes into the places of their items.
fn outcomes(places: Vec<Option<Refusal>>, found: Vec<Imported>, validated: bool) -> Vec<ItemOutcome> {
    let mut found = found.into_iter();
    let outcome = |place: Option<Refusal>| match place {
        Some(refusal) => ItemOutcome::Refused(refusal),
        None => match found.next() {
            Some(Imported::Created(id)) => ItemOutcome::Created((!validated).then_some(id)),
            Some(Imported::Unchanged(id)) => ItemOutcome::Unchanged(id),
            Some(Imported::Replaced(id)) => ItemOutcome::Replaced(id),
            Some(Imported::Refused(error)) => ItemOutcome::Refused(error.into()),
            // The store answers every item.
            None => ItemOutcome::Refused(Refusal::Internal),
        },
    };
    places.into_iter().map(outcome).collect()
}
