//! Refusals, in the words of the real providers.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Refused;
use crate::behaviour::Dialect;
use crate::script::Refusal;

/// Status and body.
pub(crate) fn render(refused: &Refused, dialect: Dialect) -> (StatusCode, Value) {
    let Refused { refusal, description } = *refused;
    match dialect {
        Dialect::Standard => standard(refusal, description),
        Dialect::Slack => {
            let error = match refusal {
                Refusal::InvalidClient => "bad_client_secret",
                Refusal::BadCode => "invalid_code",
                Refusal::DeadGrant => "invalid_refresh_token",
                other => other.code(),
            };
            (StatusCode::OK, json!({ "ok": false, "error": error }))
        }
        Dialect::Github => {
            let error = match refusal {
                Refusal::InvalidClient => "incorrect_client_credentials",
                Refusal::BadCode => "bad_verification_code",
                Refusal::DeadGrant => "bad_refresh_token",
                other => other.code(),
            };
            (StatusCode::OK, json!({ "error": error, "error_description": description }))
        }
        Dialect::Shopify if refusal == Refusal::DeadGrant => {
            let description = "This request requires an active refresh_token";
            let body = json!({ "error": "invalid_request", "error_description": description });
            (StatusCode::UNAUTHORIZED, body)
        }
        Dialect::Shopify => standard(refusal, description),
        Dialect::Hubspot => {
            let state = match refusal {
                Refusal::InvalidClient => "BAD_CLIENT_SECRET",
                Refusal::BadCode => "BAD_AUTH_CODE",
                Refusal::DeadGrant => "BAD_REFRESH_TOKEN",
                _ => "BAD_REQUEST",
            };
            (StatusCode::BAD_REQUEST, json!({ "status": state, "message": description }))
        }
        Dialect::Meta => {
            let code = match refusal {
                Refusal::DeadGrant => 190,
                Refusal::InvalidClient => 101,
                _ => 100,
            };
            let error = json!({ "message": description, "type": "OAuthException", "code": code });
            (StatusCode::BAD_REQUEST, json!({ "error": error }))
        }
        Dialect::Tiktok => {
            let code = match refusal {
                Refusal::InvalidClient => 36_004_001,
                Refusal::BadCode => 36_004_002,
                Refusal::DeadGrant => 36_004_003,
                _ => 36_004_000,
            };
            (StatusCode::OK, json!({ "code": code, "message": description, "data": {} }))
        }
    }
}

fn standard(refusal: Refusal, description: &str) -> (StatusCode, Value) {
    let status = match refusal {
        Refusal::InvalidClient => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    };
    (status, json!({ "error": refusal.code(), "error_description": description }))
}
