//! Answers of Google's APIs in JSON; an error is a `google.rpc.Status`.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Refusal {
    http: u16,
    status: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(http: u16, status: &'static str, message: &str) -> Self {
        Self { http, status, message: message.to_owned() }
    }

    pub(super) fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.http, "message": self.message, "status": self.status } });
        json_response(StatusCode::from_u16(self.http).unwrap(), &body)
    }
}

pub(super) fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json; charset=UTF-8")], body.to_string()).into_response()
}
