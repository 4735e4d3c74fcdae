//! Signed assertions (RFC 7523): JWTs that a client sends instead of a secret. The broker signs them.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::template::Template;

/// The templates of an assertion.
#[derive(Debug)]
pub struct AssertionTemplates {
    pub(crate) key: Template,
    pub(crate) key_id: Option<Template>,
    pub(crate) claims: BTreeMap<String, Template>,
    pub(crate) lifetime: Duration,
}

/// The content of an assertion, and the key that signs it with RS256.
#[derive(Debug)]
pub struct Assertion {
    /// The claims except `iat` and `exp`.
    pub claims: Map<String, Value>,
    /// The private key, PEM.
    pub key: SecretString,
    /// The `kid` of the header.
    pub key_id: Option<String>,
    /// The time from `iat` to `exp`.
    pub lifetime: Duration,
}
