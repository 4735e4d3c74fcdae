//! Refusals of token requests, in the words of the real providers.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::behaviour::Dialect;
use crate::script::Refusal;

/// A refusal with a description for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) description: &'static str,
}

impl Refused {
    pub(crate) fn new(refusal: Refusal, description: &'static str) -> Self {
        Self { refusal, description }
    }
}

/// The status and body of a refusal in the words of a provider.
pub(crate) fn render(refused: &Refused, dialect: Dialect) -> (StatusCode, Value) {
    let Refused { refusal, description } = *refused;
    match dialect {
        Dialect::Standard => standard(refusal, description),
        Dialect::Slack => {
            let texts = ["bad_client_secret", "invalid_code", "invalid_refresh_token"];
            let error = pick(refusal, texts, refusal.code());
            (StatusCode::OK, json!({ "ok": false, "error": error }))
        }
        Dialect::Github => {
            let texts = ["incorrect_client_credentials", "bad_verification_code", "bad_refresh_token"];
            let error = pick(refusal, texts, refusal.code());
            (StatusCode::OK, json!({ "error": error, "error_description": description }))
        }
        Dialect::Shopify if refusal == Refusal::DeadGrant => {
            let description = "This request requires an active refresh_token";
            let body = json!({ "error": "invalid_request", "error_description": description });
            (StatusCode::UNAUTHORIZED, body)
        }
        Dialect::Shopify => standard(refusal, description),
        Dialect::Hubspot => {
            let texts = ["BAD_CLIENT_SECRET", "BAD_AUTH_CODE", "BAD_REFRESH_TOKEN"];
            let state = pick(refusal, texts, "BAD_REQUEST");
            (StatusCode::BAD_REQUEST, json!({ "status": state, "message": description }))
        }
        Dialect::Meta => {
            let code = pick(refusal, [101, 100, 190], 100);
            let error = json!({ "message": description, "type": "OAuthException", "code": code });
            (StatusCode::BAD_REQUEST, json!({ "error": error }))
        }
        Dialect::Tiktok => {
            let code = pick(refusal, [36_004_001, 36_004_002, 36_004_003], 36_004_000);
            (StatusCode::OK, json!({ "code": code, "message": description, "data": {} }))
        }
    }
}

/// The first of the three for a wrong client, the second for a bad code, the third for a dead grant, else `other`.
fn pick<T>(refusal: Refusal, [client, code, grant]: [T; 3], other: T) -> T {
    match refusal {
        Refusal::InvalidClient => client,
        Refusal::BadCode => code,
        Refusal::DeadGrant => grant,
        Refusal::InvalidRequest
        | Refusal::UnauthorizedClient
        | Refusal::UnsupportedGrantType
        | Refusal::InvalidScope => other,
    }
}

fn standard(refusal: Refusal, description: &str) -> (StatusCode, Value) {
    let wrong_client = refusal == Refusal::InvalidClient;
    let status = if wrong_client { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    (status, json!({ "error": refusal.code(), "error_description": description }))
}
