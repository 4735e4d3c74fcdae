//! What a standards-following server says about itself (OpenID Connect Discovery, RFC 8414), and the registration of
//! clients (RFC 7591).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::account::answer;
use crate::client::Client;
use crate::state::Shared;

/// The metadata, where OpenID Connect has it.
pub(crate) async fn openid(State(shared): State<Arc<Shared>>) -> Response {
    match shared.with(|state| state.behaviour.only_oauth_metadata) {
        true => StatusCode::NOT_FOUND.into_response(),
        false => oauth(State(shared)).await,
    }
}

/// The metadata, where RFC 8414 has it.
pub(crate) async fn oauth(State(shared): State<Arc<Shared>>) -> Response {
    let url = shared.url();
    let usual = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "revocation_endpoint": format!("{url}/revoke"),
        "userinfo_endpoint": format!("{url}/me"),
        "registration_endpoint": format!("{url}/register"),
        "code_challenge_methods_supported": ["S256"],
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported":
            ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
    });
    let body = shared.with(|state| {
        state.counts.discoveries += 1;
        let mut members: Map<String, Value> = usual.as_object().cloned().unwrap_or_default();
        members.insert(
            "authorization_response_iss_parameter_supported".to_owned(),
            json!(state.behaviour.send_iss),
        );
        members.extend(state.behaviour.metadata.clone());
        members.retain(|_, value| !value.is_null());
        Value::Object(members)
    });
    answer(StatusCode::OK, &body)
}

/// Registers a client (RFC 7591), without a question.
pub(crate) async fn register(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let Ok(Value::Object(mut members)) = serde_json::from_slice(&body) else {
        let error = json!({ "error": "invalid_client_metadata" });
        return answer(StatusCode::BAD_REQUEST, &error);
    };
    let method = members.get("token_endpoint_auth_method").and_then(Value::as_str);
    let method = method.unwrap_or("client_secret_basic").to_owned();
    let list = members.get("redirect_uris").and_then(Value::as_array).cloned().unwrap_or_default();
    let redirect_uris = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    shared.with(|state| {
        state.counts.registrations += 1;
        let id = format!("registered-{}", state.counts.registrations);
        let secret = method.starts_with("client_secret").then(|| state.ledger.opaque.value("CANARY_secret_"));
        members.insert("client_id".to_owned(), json!(id));
        let access = state.ledger.opaque.value("CANARY_registration_");
        members.insert("registration_access_token".to_owned(), json!(access));
        if let Some(secret) = &secret {
            members.insert("client_secret".to_owned(), json!(secret));
            members.insert("client_secret_expires_at".to_owned(), json!(0));
        }
        state.clients.insert(id.clone(), Client { id, secret, method, redirect_uris });
    });
    answer(StatusCode::CREATED, &Value::Object(members))
}
