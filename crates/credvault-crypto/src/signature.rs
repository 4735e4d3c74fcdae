//! Verification of the signatures of JSON Web Tokens (RFC 7518, RFC 8037). Knows nothing of a token's claims.

use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

/// A public key with the one algorithm that it verifies. The key decides the algorithm, never the token: an attacker
/// who could choose it would have an RSA key taken for an HMAC secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublicKey {
    /// RS256: RSASSA-PKCS1-v1_5 with SHA-256; modulus and exponent big-endian without leading zeros. 2048 to 8192 bits.
    Rs256 {
        /// The modulus `n`, big-endian.
        modulus: Vec<u8>,
        /// The public exponent `e`, big-endian.
        exponent: Vec<u8>,
    },
    /// ES256: ECDSA on P-256 with SHA-256; the point uncompressed, 65 bytes. Signatures are r and s, 32 bytes each.
    Es256(Vec<u8>),
    /// EdDSA on Ed25519; the key is 32 bytes.
    Ed25519(Vec<u8>),
}

/// The signature was not made with this key over this message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureError;

impl PublicKey {
    /// Verifies a signature over `message`.
    ///
    /// # Errors
    /// [`SignatureError`] for every cause, including a malformed key.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        match self {
            Self::Rs256 { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            Self::Es256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature),
        }
        .map_err(|_| SignatureError)
    }
}
