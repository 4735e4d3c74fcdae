//! The effect of a step on a request and its answer: drops, delays, refuses or spoils it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc2822;
use tokio::time::Instant;

use super::{Answer, Refused};
use crate::script::{RetryAfter, Step};
use crate::state::Shared;

/// The number of bytes that [`Step::Huge`] adds.
const PADDING: usize = 2 * 1024 * 1024;

/// The response, and whether it holds tokens. `answer` carries the request out; only steps under which requests take
/// effect call it.
pub(crate) fn disturb(
    step: &Step,
    shared: &Arc<Shared>,
    answer: impl FnOnce() -> Answer,
) -> (Response, bool) {
    let mut granted = false;
    let mut note = |answer: Answer| {
        granted = answer.granted;
        answer
    };
    let response = match step {
        Step::Answer | Step::Slow { .. } => note(answer()).into_response(),
        Step::Huge => huge(note(answer())),
        Step::Drip { piece, every } => drip(note(answer()), *piece, *every, shared),
        Step::LoseAnswer => {
            answer();
            cut()
        }
        Step::HangUp => cut(),
        Step::Refuse(refusal) => {
            let refused = Refused::new(*refusal, "refused by the script");
            shared.with(|state| Answer::refused(&refused, state.behaviour.errors)).into_response()
        }
        Step::Throttle { retry_after } => throttle(*retry_after, shared),
        Step::Fail { status, after_effect } => {
            if *after_effect {
                answer();
            }
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, Html("<h1>Something went wrong on our side</h1>\n")).into_response()
        }
        Step::Redirect { to } => match HeaderValue::from_str(to) {
            Ok(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
            Err(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "the script's address fits no header").into_response()
            }
        },
        Step::NotJson => Html("<!doctype html><title>Sign in</title><h1>Sign in</h1>\n").into_response(),
    };
    (response, granted)
}

fn huge(mut answer: Answer) -> Response {
    if let Value::Object(members) = &mut answer.body {
        members.insert("padding".to_owned(), json!("x".repeat(PADDING)));
    }
    answer.into_response()
}

fn drip(answer: Answer, piece: usize, every: Duration, shared: &Arc<Shared>) -> Response {
    let text = Bytes::from(answer.body.to_string());
    let pieces = stream::try_unfold((text, Arc::clone(shared)), move |(mut rest, shared)| async move {
        if rest.is_empty() {
            return Ok(None);
        }
        if !shared.pause(every).await {
            return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
        }
        let piece = rest.split_to(piece.clamp(1, rest.len()));
        Ok(Some((piece, (rest, shared))))
    });
    let mut response = answer.into_response();
    *response.body_mut() = Body::from_stream(pieces);
    response
}

/// No response: its body fails before anything was flushed, and the connection closes.
pub(crate) fn cut() -> Response {
    let cut: Result<Bytes, io::Error> = Err(io::ErrorKind::ConnectionAborted.into());
    Response::new(Body::from_stream(stream::iter([cut])))
}

fn throttle(retry_after: RetryAfter, shared: &Shared) -> Response {
    let mut headers = HeaderMap::new();
    let text = match retry_after {
        RetryAfter::Absent => None,
        RetryAfter::Seconds(seconds) => Some(seconds.to_string()),
        RetryAfter::Date(seconds) => http_date(shared, seconds),
    };
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(header::RETRY_AFTER, value);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = json!({ "error": "rate_limited", "error_description": "too many requests" });
    (StatusCode::TOO_MANY_REQUESTS, headers, body.to_string()).into_response()
}

/// The date after this number of seconds in the form of RFC 9110, section 5.6.7: that of RFC 2822, in GMT.
fn http_date(shared: &Shared, seconds: u64) -> Option<String> {
    let instant = Instant::now().checked_add(Duration::from_secs(seconds))?;
    Some(shared.wall_time(instant).format(&Rfc2822).ok()?.replace("+0000", "GMT"))
}
