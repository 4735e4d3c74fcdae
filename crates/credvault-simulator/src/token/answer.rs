//! Answers of the token endpoint, in the shape that the behaviour asks for. Changes nothing.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::refusal::{self, Refused};
use crate::behaviour::{Behaviour, Dialect, Expiry, ScopeAnswer};
use crate::ledger::Granted;

/// Status and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    /// Whether the body holds tokens.
    pub(crate) granted: bool,
}

impl Answer {
    /// An answer with tokens. `ends` is the access token's remaining life, and the instant of its end.
    pub(crate) fn granted(
        granted: &Granted,
        ends: Option<(Duration, OffsetDateTime)>,
        behaviour: &Behaviour,
    ) -> Self {
        let mut fields = Map::new();
        let mut put = |snake: &str, camel: &str, value: Value| {
            let name = if behaviour.camel_case { camel } else { snake };
            fields.insert(name.to_owned(), value);
        };
        put("access_token", "accessToken", json!(granted.access_token));
        put("token_type", "tokenType", json!("Bearer"));
        put("account", "account", json!(granted.account));
        if let Some(token) = &granted.id_token {
            put("id_token", "idToken", json!(token));
        }
        if let Some(token) = &granted.refresh_token {
            put("refresh_token", "refreshToken", json!(token));
        }
        if behaviour.scope != ScopeAnswer::Omitted {
            put("scope", "scope", json!(granted.scopes.join(" ")));
        }
        match (behaviour.expiry, ends) {
            (Expiry::Zero, _) => put("expires_in", "expiresIn", json!(0)),
            (Expiry::Omitted, _) | (_, None) => {}
            (Expiry::Seconds, Some((life, _))) => put("expires_in", "expiresIn", json!(life.as_secs())),
            (Expiry::Text, Some((life, _))) => {
                put("expires_in", "expiresIn", json!(life.as_secs().to_string()));
            }
            (Expiry::AbsoluteSeconds, Some((_, end))) => {
                put("access_token_expire_in", "accessTokenExpireIn", json!(end.unix_timestamp()));
            }
            (Expiry::AbsoluteText, Some((_, end))) => {
                // RFC 3339 has no years beyond 9999: such a token never ends.
                if let Ok(text) = end.format(&Rfc3339) {
                    put("expires_at", "expiresAt", json!(text));
                }
            }
        }
        Self { status: StatusCode::OK, body: wrap(fields, &granted.account, behaviour), granted: true }
    }

    /// An answer without tokens.
    pub(crate) fn refused(refused: &Refused, dialect: Dialect) -> Self {
        let (status, body) = refusal::render(refused, dialect);
        Self { status, body, granted: false }
    }
}

fn wrap(mut fields: Map<String, Value>, account: &str, behaviour: &Behaviour) -> Value {
    if behaviour.authed_user {
        fields.insert("id".to_owned(), json!(account));
        fields = Map::from_iter([("authed_user".to_owned(), Value::Object(fields))]);
    }
    if behaviour.errors == Dialect::Slack {
        fields.insert("ok".to_owned(), json!(true));
    }
    if behaviour.envelope {
        return json!({ "code": 0, "message": "success", "data": fields });
    }
    Value::Object(fields)
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        // RFC 6749, section 5.1 asks for no-store.
        let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        let mut response = (self.status, headers, self.body.to_string()).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"simulator\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
