//! The endpoints for existing credentials: the account of a credential, and the revocation of a token.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::behaviour::Revocation;
use crate::credentials;
use crate::parameters::Parameters;
use crate::state::{self, Shared};
use crate::token::{Answer, TokenRequest, authenticate};

/// Revokes a token (RFC 7009).
pub(crate) async fn revoke(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let request = TokenRequest::read(&headers, query.as_deref(), &body);
    let url = shared.url();
    shared.with(|state| {
        state.counts.revocations += 1;
        let refusal = match &request {
            Ok(request) => authenticate(state, request, &url).err(),
            Err(refused) => Some(*refused),
        };
        if let Some(refused) = refusal {
            return Answer::refused(&refused, state.behaviour.errors).into_response();
        }
        if state.behaviour.revocation == Revocation::Unavailable {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let token = request.as_ref().ok().and_then(|request| request.parameters.get("token"));
        let known = token.is_some_and(|token| state.ledger.revoke_token(token));
        if state.behaviour.revocation == Revocation::RefusesUnknown && !known {
            return answer(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_token" }));
        }
        StatusCode::OK.into_response()
    })
}

/// Returns the account of a credential: a token (Bearer, or `X-Simulator-Token`), an API key (`X-API-Key: sim_key_NAME`,
/// or one that was made) or a WooCommerce key pair (Basic, or `consumer_key` and `consumer_secret` in the query).
pub(crate) async fn me(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Parameters::query(query.as_deref());
    let owner = shared.with(|state| {
        state.counts.tests += 1;
        owner(state, &headers, &query)
    });
    match owner {
        Some(account) => {
            let name = format!("The shop {account}");
            answer(StatusCode::OK, &json!({ "id": account, "sub": account, "name": name }))
        }
        None => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")];
            let body = json!({ "error": "invalid_token" });
            (challenge, answer(StatusCode::UNAUTHORIZED, &body)).into_response()
        }
    }
}

fn owner(state: &state::State, headers: &HeaderMap, query: &Parameters) -> Option<String> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(token) = credentials::bearer(headers).or_else(|| header("x-simulator-token")) {
        let family = state.ledger.family_of_live(token, Instant::now())?;
        return Some(state.ledger.families[family].account.clone());
    }
    if let Some(key) = header("x-api-key") {
        let (account, made) = state.api_keys.owner(key)?;
        return (!made || state.behaviour.made_keys_work).then_some(account);
    }
    let in_query = || Some((query.get("consumer_key")?.to_owned(), query.get("consumer_secret")?.to_owned()));
    let (key, secret) = credentials::basic(headers).or_else(in_query)?;
    let pair = state.key_pairs.get(&key)?;
    (pair.secret == secret).then(|| pair.account.clone())
}

pub(crate) fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}
