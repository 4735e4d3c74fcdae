//! Signed assertions (RFC 7523): JWTs that a client sends instead of a secret, to prove who it is (section 2.2) or as
//! the grant itself (section 2.1). The broker signs them.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_crypto::{KeyError, SigningAlgorithm, SigningKey};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::template::Template;

/// The templates of an assertion.
#[derive(Debug)]
pub struct AssertionTemplates {
    pub(crate) key: Template,
    pub(crate) key_id: Option<Template>,
    pub(crate) algorithms: Vec<SigningAlgorithm>,
    pub(crate) claims: BTreeMap<String, Template>,
    pub(crate) lifetime: Duration,
}

/// The content of an assertion, and the key that signs it.
#[derive(Debug)]
pub struct Assertion {
    /// The claims except `iat` and `exp`.
    pub claims: Map<String, Value>,
    /// The private key: PEM, or a JWK.
    pub key: SecretString,
    /// The `kid` of the header, if the key itself has none.
    pub key_id: Option<String>,
    /// The algorithms that the provider accepts. The first that the key signs with is used.
    pub algorithms: Vec<SigningAlgorithm>,
    /// The time from `iat` to `exp`.
    pub lifetime: Duration,
}

/// The names of the algorithms that an assertion is signed with unless its table says otherwise.
pub(crate) const DEFAULT_ALGORITHMS: [SigningAlgorithm; 1] = [SigningAlgorithm::Rs256];

impl AssertionTemplates {
    /// Signs something with a key, to find out whether it can sign assertions.
    ///
    /// # Errors
    /// The rule that the key breaks.
    pub(crate) fn try_key(&self, key: &SecretString) -> Result<(), KeyError> {
        let key = SigningKey::parse(key.expose_secret())?;
        key.sign(key.algorithm(&self.algorithms)?, b"").map(drop)
    }
}
