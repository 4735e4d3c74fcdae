//! Events: written with the change that they tell of, claimed once, tried for a day.

mod claims;
mod endpoints;
mod failures;
mod outbox;
mod pieces;

use std::time::Duration;

use credvault_domain::{Action, DeliveryState, EventEndpointId, EventType, TenantScope};
use credvault_store::{
    Attempt, ClaimedEvent, EndpointKey, Error, EventDelivery, EventTarget, NewEventEndpoint, Page,
};
use secrecy::ExposeSecret as _;

use crate::fixture::{Fixture, write};

const HOUR: Duration = Duration::from_secs(3600);

const DAY: Duration = Duration::from_secs(24 * 3600);

pub fn new_endpoint(types: &[EventType]) -> NewEventEndpoint {
    NewEventEndpoint {
        id: None,
        url: "https://app.test/events".to_owned(),
        types: types.to_vec(),
        description: String::new(),
        rotate_secret: false,
    }
}

/// Stores an endpoint; its secret, too, if it got one.
pub async fn put(
    fixture: &Fixture,
    scope: &TenantScope,
    new: &NewEventEndpoint,
) -> Result<(EventEndpointId, Option<String>), Error> {
    let write = write(scope, Action::PutEventEndpoint);
    let (endpoint, secret) = fixture.store.event_endpoints().put(scope, new, &write).await?.into_inner();
    Ok((endpoint.id, secret.map(|secret| secret.expose_secret().to_owned())))
}

async fn endpoint(fixture: &Fixture, scope: &TenantScope, types: &[EventType]) -> EventEndpointId {
    put(fixture, scope, &new_endpoint(types)).await.unwrap().0
}

fn page() -> Page {
    Page { size: 500, token: String::new(), query: Vec::new() }
}

async fn deliveries(fixture: &Fixture, scope: &TenantScope) -> Vec<EventDelivery> {
    fixture.store.event_deliveries().list(scope, None, None, &page()).await.unwrap().items
}

/// What was told, the oldest first.
async fn told(fixture: &Fixture, scope: &TenantScope) -> Vec<String> {
    deliveries(fixture, scope).await.into_iter().rev().map(|delivery| delivery.kind).collect()
}

async fn health(fixture: &Fixture, scope: &TenantScope) -> credvault_store::EventEndpoint {
    fixture.store.event_endpoints().list(scope, &page()).await.unwrap().items.remove(0)
}

async fn claim(fixture: &Fixture) -> Vec<(EndpointKey, EventTarget, Vec<ClaimedEvent>)> {
    let mut all = Vec::new();
    for key in fixture.store.event_deliveries().due(None).await.unwrap().keys {
        if let Some((target, events)) = fixture.store.event_deliveries().claim(&key).await.unwrap() {
            all.push((key, target, events));
        }
    }
    all
}

/// The only event that is due.
async fn only(fixture: &Fixture) -> ClaimedEvent {
    let mut all = claim(fixture).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].2.len(), 1);
    all.remove(0).2.remove(0)
}

fn failed() -> Attempt {
    Attempt::Failed { failure: "status 500".to_owned(), retry_after: None, gone: false }
}

async fn attempted(fixture: &Fixture, event: &ClaimedEvent, attempt: &Attempt) -> DeliveryState {
    fixture.store.event_deliveries().attempted(event, attempt).await.unwrap()
}
