//! The endpoints that read and change behaviour and counts from other processes.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::behaviour::Behaviour;
use crate::state::Shared;

/// Returns the present behaviour.
pub(crate) async fn behaviour(State(shared): State<Arc<Shared>>) -> Response {
    json(&shared.with(|state| state.behaviour.clone()))
}

/// Replaces the behaviour; omitted fields get their defaults.
pub(crate) async fn behave(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Behaviour>(&body) {
        Ok(behaviour) => {
            shared.with(|state| state.behaviour = behaviour.clone());
            json(&behaviour)
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

/// Returns the counts of requests.
pub(crate) async fn counts(State(shared): State<Arc<Shared>>) -> Response {
    json(&shared.with(|state| state.counts))
}

/// Forgets all grants, keys and counts.
pub(crate) async fn reset(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.with(|state| state.reset());
    StatusCode::NO_CONTENT
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string_pretty(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
