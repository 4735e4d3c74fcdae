//! `ImportConnections`: connections that another system had, each with its own outcome.

use std::collections::{BTreeSet, HashSet};

use credvault_domain::{
    AppPlace, AuditEvent, ConnectionId, Permit, ProviderId, TenantScope, Timestamp, Violations,
};
use credvault_identity::Facts;
use credvault_store::{ImportItem, Imported, NewConnection, NewCredential, Recorded};

use super::Create;
use super::create::checked;
use crate::call::{Subject, note_refusal};
use crate::{Call, Context, Parsed, Refusal};

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
    /// When its owner consented, if that is known.
    pub consent_time: Option<Timestamp>,
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

/// What became of a batch.
#[derive(Debug)]
pub struct ImportedBatch {
    /// The outcome of each item, in the request's order.
    pub outcomes: Vec<ItemOutcome>,
    /// The providers at which there is no app to refresh the batch's tokens with.
    pub without_app: BTreeSet<ProviderId>,
}

/// `ImportConnections`: an outcome for each item, in their order.
///
/// # Errors
/// Policy does not permit imports, there are too many items, or the batch as a whole fails.
pub async fn import(call: &mut Call, import: Import) -> Result<Recorded<ImportedBatch>, Refusal> {
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
    let without_app = without_app(&call.context, &scope, &accepted).await?;
    let connections = call.context.store.connections();
    if validate_only {
        let found = connections.check_import(&scope, &accepted, replace, &write).await?;
        let outcomes = outcomes(places, found, true);
        return call.recorded(&permit, ImportedBatch { outcomes, without_app }).await;
    }
    let imported = connections.import(&scope, &accepted, replace, &refused, &write).await?;
    Ok(imported.map(|found| ImportedBatch { outcomes: outcomes(places, found, false), without_app }))
}

/// The providers of items whose tokens cannot be refreshed, because there is no app to do it with.
async fn without_app(
    context: &Context,
    scope: &TenantScope,
    items: &[ImportItem],
) -> Result<BTreeSet<ProviderId>, Refusal> {
    let place = |item: &ImportItem| {
        let ImportItem { new, credential, .. } = item;
        let fields = &credential.as_ref()?.fields;
        let mode = context.mode(&new.provider, &new.auth_mode).ok()?;
        let by_app = mode.refreshes() && mode.oauth().is_some_and(|oauth| !oauth.client_per_connection);
        let provider = context.catalog.get(&new.provider)?;
        (by_app && !mode.lacks_refresh_token(fields)).then(|| provider.app_place(&new.config))
    };
    let places: HashSet<AppPlace> = items.iter().filter_map(place).collect();
    let missing = context.store.apps().missing_at(scope, places.into_iter().collect()).await?;
    Ok(missing.iter().map(|place| place.provider().clone()).collect())
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
    let Item { mut create, make_default, consent_time } = item;
    part.about(Subject::provider(&create.provider));
    let named = std::mem::replace(&mut create.owner, Ok(None))?;
    let owner = part.owner(scope, named)?;
    let facts = Facts { provider: Some(&create.provider), owner: Some(&owner), purpose: None };
    let permit: Permit = part.permit(scope, facts)?;
    part.subject.owner_user = owner.user().cloned();
    let (new, credential): (NewConnection, Option<NewCredential>) = checked(&part.context, owner, create)?;
    let credential = credential.map(|credential| NewCredential { consent_time, ..credential });
    let mode = part.context.mode(&new.provider, &new.auth_mode)?;
    // Settings that an issuer's metadata give are found when a credential is put, and not here.
    let destinations = mode.is_discovered(&new.config).then(|| mode.destinations().clone());
    Ok(ImportItem { new, credential, destinations, make_default, record: part.event_of(&permit) })
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
