//! The signatures that tokens carry (RFC 7518, RFC 8037): verified, and made for assertions (RFC 7523).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{self, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey};
use zeroize::Zeroizing;

/// A public key with the one algorithm that it may verify. Which that is follows from the key, never from a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublicKey {
    /// RS256: RSASSA-PKCS1-v1_5 with SHA-256; modulus and exponent big-endian without leading zeros. 2048 to 8192 bits.
    Rs256 {
        /// The modulus.
        modulus: Vec<u8>,
        /// The public exponent.
        exponent: Vec<u8>,
    },
    /// ES256: ECDSA on P-256 with SHA-256; the point uncompressed, 65 bytes. Signatures are r and s, 32 bytes each.
    Es256(Vec<u8>),
    /// EdDSA on Ed25519; 32 bytes.
    Ed25519(Vec<u8>),
}

/// The signature is not one of this key over this message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureError;

impl PublicKey {
    /// Verifies a signature over `message`.
    ///
    /// # Errors
    /// [`SignatureError`], whatever the cause, a malformed key included.
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

/// A key that cannot sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the private key must be an RSA key of 2048 to 4096 bits in PEM (PKCS #8 or PKCS #1)")]
pub struct KeyError;

/// Signs with RS256 (RFC 7518, section 3.3) under an RSA private key in PEM.
///
/// # Errors
/// The key is no RSA key that can be used.
pub fn sign_rs256(pem: &str, message: &[u8]) -> Result<Vec<u8>, KeyError> {
    let body: Zeroizing<String> =
        pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect::<String>().into();
    let der = Zeroizing::new(STANDARD.decode(body.as_bytes()).map_err(|_| KeyError)?);
    let pair = if pem.contains("BEGIN RSA PRIVATE KEY") {
        RsaKeyPair::from_der(&der)
    } else {
        RsaKeyPair::from_pkcs8(&der)
    };
    let pair = pair.map_err(|_| KeyError)?;
    let mut signed = vec![0; pair.public().modulus_len()];
    // The signature is deterministic; ring's own randomness blinds the computation.
    pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signed)
        .map_err(|_| KeyError)?;
    Ok(signed)
}
