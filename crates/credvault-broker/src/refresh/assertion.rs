//! The signed assertion that some providers take in place of a refresh token (RFC 7523).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_catalog::Assertion;
use credvault_crypto::{KeyError, sign_rs256};
use credvault_domain::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// How far assertions are back-dated: providers refuse an assertion that was issued in the future of their own clock.
const BACKDATED: Duration = Duration::from_secs(60);

/// The assertion as a JSON Web Token that the connection's private key has signed.
pub(super) fn signed(assertion: Assertion, now: Timestamp) -> Result<String, KeyError> {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": assertion.key_id });
    let mut claims = assertion.claims;
    let issued = now.before(BACKDATED);
    claims.insert("iat".to_owned(), json!(issued.seconds()));
    claims.insert("exp".to_owned(), json!(issued.after(assertion.lifetime).seconds()));
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&Value::Object(claims)));
    let signature = sign_rs256(assertion.key.expose_secret(), message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
