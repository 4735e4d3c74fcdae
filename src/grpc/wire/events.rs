//! Event endpoints and deliveries between the wire and the domain.

use credvault_domain::{DeliveryState, EventEndpointId, EventId, EventType, Violations};
use credvault_operations::events::PutEndpoint;
use credvault_store::{EventDelivery, EventEndpoint};
use secrecy::{ExposeSecret as _, SecretString};

use super::parse::{optional, printable, repeat, required};
use super::timestamp;
use credvault_proto::v1;

/// How many characters a description has at most.
const MAX_DESCRIPTION: usize = 256;

pub(crate) fn event_endpoint_id(text: &str) -> Result<EventEndpointId, Violations> {
    required("endpoint_id", text, str::parse)
}

pub(crate) fn optional_event_endpoint_id(text: &str) -> Result<Option<EventEndpointId>, Violations> {
    optional("endpoint_id", text, str::parse)
}

pub(crate) fn event_id(text: &str) -> Result<EventId, Violations> {
    required("event_id", text, str::parse)
}

/// An endpoint to be stored.
pub(crate) fn put_event_endpoint(request: v1::PutEventEndpointRequest) -> PutEndpoint {
    let mut types: Vec<_> = request.types.iter().map(|text| EventType::parse(text)).collect();
    types.sort();
    types.dedup();
    let types: Option<Vec<_>> = types.into_iter().collect();
    let types = types.ok_or_else(|| {
        let all = EventType::ALL.map(EventType::as_str).join(", ");
        Violations::of("types", format!("must be some of {all}; leave it out for all"))
    });
    let rule = "must be at most 256 printable characters";
    let described = printable("description", &request.description, MAX_DESCRIPTION, rule);
    PutEndpoint {
        id: optional_event_endpoint_id(&request.endpoint_id),
        repeat: repeat(&request.request_id, &request),
        url: request.url,
        types,
        description: described.map(|()| request.description),
        rotate_secret: request.rotate_secret,
    }
}

pub(crate) fn delivery_state(state: i32) -> Result<Option<DeliveryState>, Violations> {
    let unknown = |_| Violations::of("state", "must be one of the states that the protos name");
    Ok(match v1::EventDeliveryState::try_from(state).map_err(unknown)? {
        v1::EventDeliveryState::Unspecified => None,
        v1::EventDeliveryState::Pending => Some(DeliveryState::Pending),
        v1::EventDeliveryState::Delivered => Some(DeliveryState::Delivered),
        v1::EventDeliveryState::Dead => Some(DeliveryState::Dead),
    })
}

pub(crate) fn event_endpoint(endpoint: EventEndpoint) -> v1::EventEndpoint {
    let EventEndpoint {
        id,
        url,
        types,
        description,
        enabled,
        previous_expire_time,
        failures,
        success_time,
        failure_time,
        failure,
        create_time,
        update_time,
    } = endpoint;
    let state = if enabled { v1::EventEndpointState::Enabled } else { v1::EventEndpointState::Disabled };
    v1::EventEndpoint {
        id: id.to_string(),
        url,
        types: types.into_iter().map(|kind| kind.as_str().to_owned()).collect(),
        description,
        state: state.into(),
        consecutive_failures: failures,
        last_success_time: success_time.map(timestamp),
        last_failure_time: failure_time.map(timestamp),
        last_failure: failure.unwrap_or_default(),
        previous_secret_expire_time: previous_expire_time.map(timestamp),
        create_time: Some(timestamp(create_time)),
        update_time: Some(timestamp(update_time)),
    }
}

pub(crate) fn stored_event_endpoint(
    (endpoint, secret): (EventEndpoint, Option<SecretString>),
) -> v1::PutEventEndpointResponse {
    let secret = secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default();
    v1::PutEventEndpointResponse { endpoint: Some(event_endpoint(endpoint)), secret }
}

pub(crate) fn event_delivery(delivery: EventDelivery) -> v1::EventDelivery {
    let EventDelivery {
        endpoint,
        event,
        kind,
        body,
        state,
        attempts,
        due_time,
        attempt_time,
        failure,
        create_time,
    } = delivery;
    let state = match state {
        DeliveryState::Pending => v1::EventDeliveryState::Pending,
        DeliveryState::Delivered => v1::EventDeliveryState::Delivered,
        DeliveryState::Dead => v1::EventDeliveryState::Dead,
    };
    v1::EventDelivery {
        endpoint_id: endpoint.to_string(),
        event_id: event.to_string(),
        r#type: kind,
        state: state.into(),
        attempts,
        next_attempt_time: due_time.map(timestamp),
        last_attempt_time: attempt_time.map(timestamp),
        last_failure: failure.unwrap_or_default(),
        payload: body,
        create_time: Some(timestamp(create_time)),
    }
}
