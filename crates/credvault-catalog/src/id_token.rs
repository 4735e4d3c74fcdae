//! ID tokens (OpenID Connect Core, section 2): whose account a consent was for. The signature is not checked: the token
//! comes from the token endpoint over TLS, which section 3.1.3.7 accepts in its place.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_domain::Timestamp;
use serde_json::Value;

/// How far the issuer's clock may be from the vault's.
const MAX_SKEW: Duration = Duration::from_secs(300);
/// The longest subject, in bytes (section 2).
const MAX_SUBJECT_BYTES: usize = 255;

/// The claims of an ID token; null if the token cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdToken(Value);

/// The ID token is not for this consent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the ID token is of another issuer or for another app, or has expired")]
pub struct IdTokenError;

impl IdToken {
    pub(crate) fn of(token: &str) -> Self {
        let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        Self(claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default())
    }

    /// The subject, if `issuer` has made the token for `client_id`, and for no others beside it.
    ///
    /// # Errors
    /// One of its claims is wrong or missing.
    pub fn subject(&self, issuer: &str, client_id: &str, now: Timestamp) -> Result<String, IdTokenError> {
        let text = |name: &str| self.0.get(name).and_then(Value::as_str);
        let audience = match self.0.get("aud") {
            Some(Value::String(audience)) => audience == client_id,
            Some(Value::Array(all)) => {
                let named = all.iter().any(|audience| audience == client_id);
                named && (all.len() == 1 || text("azp") == Some(client_id))
            }
            _ => false,
        };
        let party = text("azp").is_none_or(|party| party == client_id);
        let expires = self.0.get("exp").and_then(Value::as_i64);
        let alive = expires.is_some_and(|expires| expires > now.before(MAX_SKEW).seconds());
        let subject = text("sub").filter(|subject| {
            let plain = subject.chars().all(|c| !c.is_control());
            plain && (1..=MAX_SUBJECT_BYTES).contains(&subject.len())
        });
        match subject {
            Some(subject) if text("iss") == Some(issuer) && audience && party && alive => {
                Ok(subject.to_owned())
            }
            _ => Err(IdTokenError),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_token_of_this_issuer_for_this_app_names_a_subject() {
        let now = Timestamp::from_micros(1_000_000_000_000);
        let sound = json!({"iss": "https://id.example", "aud": "app", "sub": "u-1", "exp": 1_000_001});
        let changed = |name: &str, value: Value| {
            let mut claims = sound.clone();
            claims[name] = value;
            let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
            IdToken::of(&token).subject("https://id.example", "app", now).ok()
        };
        let accepted = [
            ("aud", json!("app")),
            ("aud", json!(["app"])),
            ("azp", json!("app")),
            // Within the skew.
            ("exp", json!(999_800)),
        ];
        for (name, value) in accepted {
            assert_eq!(changed(name, value.clone()), Some("u-1".to_owned()), "{name} {value}");
        }
        let refused = [
            ("iss", json!("https://id.example/")),
            ("iss", Value::Null),
            ("aud", json!("other")),
            ("aud", json!(["app", "other"])),
            ("aud", json!([])),
            ("azp", json!("other")),
            ("exp", json!(999_699)),
            ("exp", json!("1000001")),
            ("sub", json!("")),
            ("sub", json!(7)),
            ("sub", json!("x".repeat(256))),
        ];
        for (name, value) in refused {
            assert_eq!(changed(name, value.clone()), None, "{name} {value}");
        }
        for token in ["", "a", "a.b", "a.!.c"] {
            assert_eq!(IdToken::of(token).subject("https://id.example", "app", now), Err(IdTokenError));
        }
    }
}
