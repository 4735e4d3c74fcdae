//! The endpoints that make and revoke API keys, with an API key of the same account.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::account::answer;
use crate::behaviour::{Minting, Revocation};
use crate::state::{self, Shared};
use crate::token::cut;

/// Makes another key; the one before lives on.
pub(crate) async fn make(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    shared.with(|state| mint(state, &headers, false))
}

/// Makes another key in place of the one that the request has.
pub(crate) async fn roll(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    shared.with(|state| mint(state, &headers, true))
}

fn mint(state: &mut state::State, headers: &HeaderMap, replaces: bool) -> Response {
    state.counts.mints += 1;
    let Some((key, account)) = caller(state, headers) else { return unauthorized() };
    match state.behaviour.minting {
        Minting::Works | Minting::Lost => {}
        Minting::Refused => return answer(StatusCode::FORBIDDEN, &json!({ "error": "not_permitted" })),
        Minting::Unavailable => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
    let made = state.ledger.opaque.value("sim_made_");
    let id = state.api_keys.make(made.clone(), account);
    if replaces {
        state.api_keys.end(&key);
    }
    state.counts.keys_minted += 1;
    if state.behaviour.minting == Minting::Lost {
        return cut();
    }
    answer(StatusCode::CREATED, &json!({ "id": id, "key": made }))
}

/// Revokes the key with an id.
pub(crate) async fn revoke(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    shared.with(|state| {
        state.counts.key_revocations += 1;
        let Some((_, account)) = caller(state, &headers) else { return unauthorized() };
        if state.behaviour.revocation == Revocation::Unavailable {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let known = state.api_keys.end_by_id(&account, &id);
        state.counts.keys_revoked += u64::from(known);
        if known || state.behaviour.revocation == Revocation::Works {
            StatusCode::NO_CONTENT.into_response()
        } else {
            answer(StatusCode::NOT_FOUND, &json!({ "error": "no_such_key" }))
        }
    })
}

/// The key that a request has, and whose it is.
fn caller(state: &state::State, headers: &HeaderMap) -> Option<(String, String)> {
    let key = headers.get("x-api-key")?.to_str().ok()?;
    state.api_keys.owner(key).map(|(account, _)| (key.to_owned(), account))
}

fn unauthorized() -> Response {
    answer(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_key" }))
}
