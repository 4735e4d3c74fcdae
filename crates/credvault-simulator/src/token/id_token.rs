//! ID tokens (OpenID Connect Core, section 2). Their signature is none: a client that has them from the token endpoint
//! itself may go without (section 3.1.3.7).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// How many seconds an ID token is valid.
const LIFETIME_SECONDS: i64 = 600;

/// An ID token, with `claims` in place of the usual ones.
pub(super) fn of(issuer: &str, client: &str, account: &str, now: i64, claims: &Map<String, Value>) -> String {
    let mut all = Map::from_iter([
        ("iss".to_owned(), json!(issuer)),
        ("sub".to_owned(), json!(account)),
        ("aud".to_owned(), json!(client)),
        ("iat".to_owned(), json!(now)),
        ("exp".to_owned(), json!(now + LIFETIME_SECONDS)),
    ]);
    all.extend(claims.clone());
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.bm9uZQ", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&Value::Object(all)))
}
