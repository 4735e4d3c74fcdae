//! JSON Web Key Sets (RFC 7517): the keys of an issuer, each with the one algorithm that it may verify.

use std::collections::HashMap;

use credvault_crypto::PublicKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde_json::Value;

/// The largest accepted key set document.
pub(crate) const MAX_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 64;
/// The longest id of a key, in bytes.
const MAX_KID_BYTES: usize = 128;
/// The shortest modulus of an RSA key, in bytes: 2,048 bits.
const MIN_RSA_MODULUS_BYTES: usize = 256;

/// The reason why a document is not a usable key set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum KeySetError {
    #[error("it is not a JSON Web Key Set")]
    Malformed,
    #[error("it has more than 64 keys")]
    TooMany,
    #[error("it has two keys with the same kid")]
    DuplicateKid,
    #[error("it has no RS256, ES256 or EdDSA key")]
    NoUsableKey,
}

/// A key that verifies tokens, with its algorithm.
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
}

/// The usable keys of an issuer.
pub(crate) struct KeySet {
    by_kid: HashMap<String, Key>,
    /// The only key, if the set has one key and that has no id.
    unnamed: Option<Key>,
}

impl KeySet {
    /// Parses a set. It skips keys that we cannot use (other types, encryption, weak RSA). Two keys with the same id make
    /// the whole set ambiguous, so it is refused.
    pub(crate) fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let document: Value = serde_json::from_slice(document).map_err(|_| KeySetError::Malformed)?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or(KeySetError::Malformed)?;
        if keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let (mut by_kid, mut unnamed) = (HashMap::new(), Vec::new());
        for value in keys {
            let Some((kid, key)) = usable(value) else { continue };
            match kid {
                Some(kid) => {
                    if by_kid.insert(kid, key).is_some() {
                        return Err(KeySetError::DuplicateKid);
                    }
                }
                None => unnamed.push(key),
            }
        }
        match (by_kid.len(), unnamed.len()) {
            (0, 0) => Err(KeySetError::NoUsableKey),
            (0, 1) => Ok(Self { by_kid, unnamed: unnamed.pop() }),
            _ => Ok(Self { by_kid, unnamed: None }),
        }
    }

    /// The key that a token's header names.
    pub(crate) fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match kid {
            Some(kid) => self.by_kid.get(kid),
            None => self.unnamed.as_ref(),
        }
    }
}

/// The key and its id, if it is one that we can use.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow: keys of all other kinds are skipped"
)]
fn usable(value: &Value) -> Option<(Option<String>, Key)> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    // The issuer reserves such a key for another algorithm of its family.
    if jwk.common.key_algorithm.is_some_and(|named| named.to_string() != format!("{algorithm:?}")) {
        return None;
    }
    let kid = jwk.common.key_id.clone().filter(|kid| kid.len() <= MAX_KID_BYTES);
    if kid.is_none() && jwk.common.key_id.is_some() {
        return None;
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    public_key(algorithm, &decoding)?;
    Some((kid, Key { algorithm, decoding }))
}

/// The key in our verifier's form; `None` for a malformed or weak key.
pub(crate) fn public_key(algorithm: Algorithm, key: &DecodingKey) -> Option<PublicKey> {
    match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            let strip =
                |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
            let (modulus, exponent) = (strip(n), strip(e));
            let odd = exponent.last().is_some_and(|last| last % 2 == 1) && exponent != [1];
            (modulus.len() >= MIN_RSA_MODULUS_BYTES && odd).then_some(PublicKey::Rs256 { modulus, exponent })
        }
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) if point.len() == 65 => {
            Some(PublicKey::Es256(point.clone()))
        }
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(key)) if key.len() == 32 => {
            Some(PublicKey::Ed25519(key.clone()))
        }
        _ => None,
    }
}
