//! The registered app's credentials, and those that a caller sends in headers.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The id of the registered app.
pub const CLIENT_ID: &str = "simulator-client";
/// The secret of the registered app.
pub const CLIENT_SECRET: &str = "simulator-secret";
/// The app's second secret, which works under `Behaviour::second_secret`.
pub const SECOND_CLIENT_SECRET: &str = "simulator-secret-2";

/// User and password of `Authorization: Basic`. Not percent-decoded, because the registered id and secrets need no encoding.
pub(crate) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(after_scheme(headers, "basic")?).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The token of `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    after_scheme(headers, "bearer")
}

fn after_scheme<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h str> {
    let (shown, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    shown.eq_ignore_ascii_case(scheme).then_some(rest)
}
