//! The repository of event deliveries: claimed by lease, sent without a transaction, tried again for a day, then dead.
//!
//! A claim counts the attempt and puts the row's due time behind the lease, so what a killed process was sending is due
//! again by itself. How an attempt ended is recorded only while the row still counts that attempt.

pub(crate) mod attempt;
pub(crate) mod burial;
mod claim;
mod review;
pub(crate) mod search;

use credvault_domain::{
    DeliveryState, EventEndpointId, EventId, Owner, ProviderId, TenantId, Timestamp, UserId,
};
use sea_orm::{ColumnTrait as _, Condition};
use uuid::Uuid;

use crate::entity::event_delivery::{Column, Model};
use crate::events::endpoints::endpoint_name;
use crate::{Error, Store};

/// An endpoint that something is due at.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EndpointKey {
    pub(super) tenant: TenantId,
    pub(super) endpoint: EventEndpointId,
}

impl EndpointKey {
    /// The tenant that owns the endpoint.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The id of the endpoint.
    pub fn endpoint(&self) -> EventEndpointId {
        self.endpoint
    }

    /// The primary key of its row.
    pub(super) fn row_id(&self) -> (String, Uuid) {
        (self.tenant.as_str().to_owned(), self.endpoint.as_uuid())
    }
}

/// An event to be sent now.
#[derive(Clone, Debug)]
pub struct ClaimedEvent {
    key: EndpointKey,
    /// When the endpoint was last changed before the claim. An attempt at an earlier URL does not change its health.
    endpoint_time: i64,
    /// The event's id, by which the receiver recognises a repetition.
    pub event: EventId,
    /// The body, byte for byte.
    pub body: String,
    /// Which attempt this is, from 1 on.
    pub attempt: i64,
}

impl ClaimedEvent {
    /// The endpoint that receives the event.
    pub fn endpoint(&self) -> EventEndpointId {
        self.key.endpoint
    }
}

/// An event on its way to an endpoint, or there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventDelivery {
    /// The endpoint that receives the event.
    pub endpoint: EventEndpointId,
    /// The id of the event.
    pub event: EventId,
    /// What happened, as it was stored.
    pub kind: String,
    /// The body, byte for byte.
    pub body: String,
    /// The state of the delivery.
    pub state: DeliveryState,
    /// How often it was sent, or tried.
    pub attempts: i64,
    /// When it is sent next, if it is.
    pub due_time: Option<Timestamp>,
    /// When the last attempt ended.
    pub attempt_time: Option<Timestamp>,
    /// Why that did not succeed.
    pub failure: Option<String>,
    /// The time of the event.
    pub create_time: Timestamp,
}

impl EventDelivery {
    /// The provider and the owner of the connection that the event is about, where it is about one.
    pub fn subject(&self) -> (Option<ProviderId>, Option<Owner>) {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let text = |path| body.pointer(path).and_then(serde_json::Value::as_str).map(str::to_owned);
        let owner = text("/data/owner/kind").and_then(|kind| match kind.as_str() {
            "user" => Some(Owner::User(UserId::from_stored(text("/data/owner/user_id")?))),
            "tenant" => Some(Owner::Tenant),
            _ => Some(Owner::Platform),
        });
        (text("/data/provider").map(ProviderId::from_stored), owner)
    }
}

/// How records name a delivery.
pub fn delivery_name(endpoint: EventEndpointId, event: EventId) -> String {
    format!("{}/deliveries/{event}", endpoint_name(endpoint))
}

/// The repository of event deliveries.
#[derive(Clone, Copy, Debug)]
pub struct EventDeliveries<'a> {
    store: &'a Store,
}

impl Store {
    /// The repository of event deliveries.
    pub fn event_deliveries(&self) -> EventDeliveries<'_> {
        EventDeliveries { store: self }
    }
}

/// Deliveries to an endpoint.
fn at(key: &EndpointKey) -> Condition {
    Condition::all()
        .add(Column::TenantId.eq(key.tenant.as_str()))
        .add(Column::EndpointId.eq(key.endpoint.as_uuid()))
}

/// A row as callers see it.
fn delivery(model: Model) -> Result<EventDelivery, Error> {
    Ok(EventDelivery {
        endpoint: EventEndpointId::from_uuid(model.endpoint_id),
        event: EventId::from_uuid(model.event_id),
        kind: model.r#type,
        body: model.body,
        state: DeliveryState::from_stored(&model.state).ok_or(Error::Integrity)?,
        attempts: model.attempts,
        due_time: model.due_time.map(Timestamp::from_micros),
        attempt_time: model.attempt_time.map(Timestamp::from_micros),
        failure: model.failure,
        create_time: Timestamp::from_micros(model.create_time),
    })
}
