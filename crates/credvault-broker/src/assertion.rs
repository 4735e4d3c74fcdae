//! Signed assertions (RFC 7523): as the grant that some providers take in place of a refresh token, and as the proof
//! that a request comes from the client. Nothing is sent here.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_catalog::{Assertion, Flow, Given, Missing, Mode, ProviderRequest, Refresh};
use credvault_crypto::{KeyError, SigningKey};
use credvault_domain::{Timestamp, Violations};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// How far assertions are back-dated: providers refuse an assertion that was issued in the future of their own clock.
const BACKDATED: Duration = Duration::from_secs(60);
/// The type of an assertion that is a JSON Web Token (RFC 7523, section 2.2).
const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Why a client cannot prove who it is.
pub(crate) enum ProofError {
    /// A value that the assertion needs is missing.
    Missing(Missing),
    /// The key cannot sign.
    Key(KeyError),
}

impl ProofError {
    /// What a caller has to give. `rule` ends a sentence about a value that is missing.
    pub(crate) fn violations(self, rule: &str) -> Violations {
        match self {
            Self::Missing(missing) => Violations::of(missing.0, rule),
            Self::Key(error) => Violations::of("private_key", error.to_string()),
        }
    }
}

/// The assertion as a JSON Web Token, signed with the first of its algorithms that fits the key.
pub(crate) fn signed(assertion: Assertion, now: Timestamp) -> Result<String, KeyError> {
    let key = SigningKey::parse(assertion.key.expose_secret())?;
    let algorithm = key.algorithm(&assertion.algorithms)?;
    let mut header = json!({ "alg": algorithm.as_str(), "typ": "JWT" });
    let key_id = key.key_id().or(assertion.key_id.as_deref());
    for (name, value) in [("kid", key_id), ("x5t#S256", key.thumbprint())] {
        if let (Some(value), Some(header)) = (value, header.as_object_mut()) {
            header.insert(name.to_owned(), json!(value));
        }
    }
    let mut claims = assertion.claims;
    let issued = now.before(BACKDATED);
    claims.insert("iat".to_owned(), json!(issued.seconds()));
    claims.insert("exp".to_owned(), json!(issued.after(assertion.lifetime).seconds()));
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&Value::Object(claims)));
    let signature = key.sign(algorithm, message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The values of the call in `given`, with the assertion by which the client proves who it is, if it has a key.
pub(crate) fn with_proof(mode: &Mode, given: Given<'_>, now: Timestamp) -> Result<Flow, ProofError> {
    let flow = given.flow.clone();
    match mode.client_assertion(given).map_err(ProofError::Missing)? {
        Some(assertion) => Ok(flow
            .with("client_assertion", signed(assertion, now).map_err(ProofError::Key)?)
            .with("client_assertion_type", CLIENT_ASSERTION_TYPE)),
        None => Ok(flow),
    }
}
/// The request that gets new tokens, with what proves who asks: the assertion that is the grant, and the client's own.
pub(crate) fn refresh_request(
    mode: &Mode,
    refresh: &Refresh,
    given: Given<'_>,
    now: Timestamp,
) -> Result<ProviderRequest, ProofError> {
    let flow = match &refresh.assertion {
        Some(templates) => {
            let assertion = mode.assertion(templates, given).map_err(ProofError::Missing)?;
            given.flow.clone().with("assertion", signed(assertion, now).map_err(ProofError::Key)?)
        }
        None => given.flow.clone(),
    };
    let flow = with_proof(mode, Given { flow: &flow, ..given }, now)?;
    mode.request(&refresh.call, Given { flow: &flow, ..given }).map_err(ProofError::Missing)
}
