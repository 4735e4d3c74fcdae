//! Signatures of JSON Web Tokens (RFC 7518, RFC 8037): verifies those of tokens, and makes those of assertions
//! (RFC 7523). Knows nothing of a token's claims.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::error::KeyRejected;
use ring::rand::SystemRandom;
use ring::signature::{self, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey};
use zeroize::Zeroizing;

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

/// The reason why a private key cannot sign, as the end of a sentence about the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what they are")]
pub enum KeyError {
    #[error(
        "must be PEM, from -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY----- to the END line"
    )]
    NotPem,
    #[error("must be a private key: this is a public key or a certificate")]
    Public,
    #[error("must not be encrypted: `openssl pkey -in key.pem -out plain.pem` removes the passphrase")]
    Encrypted,
    #[error("must be PEM, and this is OpenSSH's own format: `ssh-keygen -p -m PEM -f key` converts it")]
    OpenSsh,
    #[error("must be an RSA key, because the provider requires RS256: this is a key of another kind")]
    NotRsa,
    #[error("must be an RSA key of 2048 to 4096 bits")]
    Size,
    #[error("must be complete: it does not decode, so copy it again with all of its lines")]
    Broken,
}

/// Signs with RS256 (RFC 7518, section 3.3) under an RSA private key in PEM, PKCS #8 or PKCS #1. Accepts escaped and
/// missing line breaks, because people paste keys from JSON and into one line.
///
/// # Errors
/// The key is not an RSA private key that can sign.
pub fn sign_rs256(pem: &str, message: &[u8]) -> Result<Vec<u8>, KeyError> {
    let pair = rsa_key(pem)?;
    let mut signed = vec![0; pair.public().modulus_len()];
    // The signature is deterministic; ring's own randomness blinds the computation.
    pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signed)
        .map_err(|_| KeyError::Broken)?;
    Ok(signed)
}

/// The first private key in a PEM text, which may also hold parameters or certificates.
fn rsa_key(pem: &str) -> Result<RsaKeyPair, KeyError> {
    let text = Zeroizing::new(pem.replace("\\r", "").replace("\\n", "\n"));
    let mut found = KeyError::NotPem;
    for block in text.split("-----BEGIN ").skip(1) {
        let Some((label, body)) = block.split_once("-----") else { continue };
        match label {
            "PRIVATE KEY" => return RsaKeyPair::from_pkcs8(&der(body)?).map_err(rejected),
            "RSA PRIVATE KEY" if body.contains("ENCRYPTED") => return Err(KeyError::Encrypted),
            "RSA PRIVATE KEY" => return RsaKeyPair::from_der(&der(body)?).map_err(rejected),
            "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
            "OPENSSH PRIVATE KEY" => return Err(KeyError::OpenSsh),
            label if label.ends_with("PRIVATE KEY") => return Err(KeyError::NotRsa),
            label if label.ends_with("PUBLIC KEY") || label == "CERTIFICATE" => found = KeyError::Public,
            _ => {}
        }
    }
    Err(found)
}

fn der(body: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (base64, _) = body.split_once("-----END").ok_or(KeyError::Broken)?;
    let base64: Zeroizing<String> = Zeroizing::new(base64.split_whitespace().collect());
    STANDARD.decode(base64.as_bytes()).map(Zeroizing::new).map_err(|_| KeyError::Broken)
}

fn rejected(error: KeyRejected) -> KeyError {
    match error.to_string().as_str() {
        "WrongAlgorithm" => KeyError::NotRsa,
        "TooSmall" | "TooLarge" => KeyError::Size,
        _ => KeyError::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PKCS8: &str = include_str!("../tests/keys/rsa_pkcs8.pem");
    const PKCS1: &str = include_str!("../tests/keys/rsa_pkcs1.pem");
    const EC: &str = include_str!("../tests/keys/ec_sec1.pem");
    const PUBLIC: &str = include_str!("../tests/keys/rsa_public.pem");

    #[test]
    fn a_key_signs_in_every_form_that_people_paste() {
        let signed = sign_rs256(PKCS8, b"message").expect("a key");
        for key in [PKCS8, PKCS1] {
            let forms = [
                key.replace('\n', "\\n"),
                key.replace('\n', "\\r\\n"),
                key.replace('\n', "\r\n"),
                key.replace('\n', " "),
                key.replace('\n', ""),
                key.trim_end().to_owned(),
                format!("  \n{key}\n\n"),
                format!("{PUBLIC}{key}"),
            ];
            for form in forms {
                assert_eq!(sign_rs256(&form, b"message"), Ok(signed.clone()), "{form}");
            }
        }
    }

    #[test]
    fn what_cannot_sign_is_named() {
        let cases = [
            ("", KeyError::NotPem),
            ("CANARY", KeyError::NotPem),
            (include_str!("../tests/keys/ec_pkcs8.pem"), KeyError::NotRsa),
            (EC, KeyError::NotRsa),
            (include_str!("../tests/keys/rsa_short.pem"), KeyError::Size),
            (include_str!("../tests/keys/rsa_encrypted.pem"), KeyError::Encrypted),
            (PUBLIC, KeyError::Public),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbg==\n-----END", KeyError::OpenSsh),
            ("-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRIVATE KEY-----", KeyError::Broken),
            (&PKCS8[..PKCS8.len() / 2], KeyError::Broken),
        ];
        for (key, error) in cases {
            assert_eq!(sign_rs256(key, b"message"), Err(error), "{key}");
        }
    }
}
