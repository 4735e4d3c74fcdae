//! Verification of ECDSA on P-256 (FIPS 186-4) with SHA-256 or SHA-1. eBay signs with SHA-1, which ring does not
//! verify. Handles public keys and public signatures only, so timing reveals nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use ring::digest;

use crate::SignatureError;

/// A public key on the curve P-256.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct P256Key(VerifyingKey);

/// The digest of the message that the signature covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EcdsaDigest {
    /// SHA-1, which no longer resists collisions. An attacker who cannot choose the signed text needs a second preimage
    /// instead, and SHA-1 still resists these.
    Sha1,
    /// SHA-256 as FIPS 180-4 specifies it.
    Sha256,
}

/// The text is not a public key of this kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be a PEM public key on the curve P-256, in SubjectPublicKeyInfo form")]
pub struct PublicKeyError;

/// The bytes before the uncompressed point in the DER of every `SubjectPublicKeyInfo` on P-256 (RFC 5480): the sequence,
/// the algorithm's two identifiers (id-ecPublicKey, secp256r1) and the head of a bit string of 66 bytes.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

impl P256Key {
    /// Parses PEM (RFC 7468), whose line breaks may be anywhere or missing, as in eBay's answers.
    ///
    /// # Errors
    /// [`PublicKeyError`] for any other text, and for a point that is not on the curve.
    pub fn from_pem(pem: &str) -> Result<Self, PublicKeyError> {
        let inner = pem.trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END));
        let base64: String = inner.ok_or(PublicKeyError)?.split_ascii_whitespace().collect();
        let der = STANDARD.decode(base64).map_err(|_| PublicKeyError)?;
        let point = der.strip_prefix(SPKI_PREFIX.as_slice()).filter(|point| point.len() == 65);
        let key = VerifyingKey::from_sec1_bytes(point.ok_or(PublicKeyError)?);
        key.map(Self).map_err(|_| PublicKeyError)
    }

    /// Verifies a signature in DER over `message`.
    ///
    /// # Errors
    /// [`SignatureError`] for every cause, including a malformed signature.
    pub fn verify(
        &self,
        digest: EcdsaDigest,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let algorithm = match digest {
            EcdsaDigest::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            EcdsaDigest::Sha256 => &digest::SHA256,
        };
        let hash = digest::digest(algorithm, message);
        let signature = Signature::from_der(signature).map_err(|_| SignatureError)?;
        self.0.verify_prehash(hash.as_ref(), &signature).map_err(|_| SignatureError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl ecparam -name prime256v1 -genkey`, signed with `openssl dgst -sha256 -sign`.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEysiL9h0ba/WcsAX1XxzwcCc8wSaK
Duolptdz6i/ABt3eQxqnm3c/XQqse7tJkIPN9jxPlgoL6diqTiWrqKGuPQ==
-----END PUBLIC KEY-----
";
    const MESSAGE: &[u8] = br#"{"notification":{"notificationId":"n-1"}}"#;
    const SIGNATURE: &str =
        "MEQCIGir1hUzz28hMAtSg03S1VfFAufZOvUDOxXd6MH6ceFsAiBh9R/R/na+51OGqr9Brz1o33IXXdJ2Q/eO9jKT5SOYLg==";

    #[test]
    fn a_signature_of_openssl_verifies() {
        let key = P256Key::from_pem(KEY).expect("key");
        let signature = STANDARD.decode(SIGNATURE).expect("base64");
        assert_eq!(key.verify(EcdsaDigest::Sha256, MESSAGE, &signature), Ok(()));
        assert_eq!(key.verify(EcdsaDigest::Sha1, MESSAGE, &signature), Err(SignatureError), "other digest");
        assert_eq!(key.verify(EcdsaDigest::Sha256, b"", &signature), Err(SignatureError), "other message");
    }

    #[test]
    fn no_broken_signature_verifies() {
        let key = P256Key::from_pem(KEY).expect("key");
        let whole = STANDARD.decode(SIGNATURE).expect("base64");
        for length in 0..whole.len() {
            assert!(key.verify(EcdsaDigest::Sha256, MESSAGE, &whole[..length]).is_err(), "{length} bytes");
            let mut flipped = whole.clone();
            flipped[length] ^= 1;
            assert!(key.verify(EcdsaDigest::Sha256, MESSAGE, &flipped).is_err(), "byte {length}");
        }
    }

    /// The forgery for implementations that forget the range check of FIPS 186-4, section 6.4.2.
    #[test]
    fn zeros_are_no_signature() {
        let key = P256Key::from_pem(KEY).expect("key");
        let zeros = [0x30, 6, 2, 1, 0, 2, 1, 0];
        assert!(key.verify(EcdsaDigest::Sha256, MESSAGE, &zeros).is_err());
    }

    #[test]
    fn keys_parse_with_and_without_line_breaks() {
        let expected = P256Key::from_pem(KEY);
        assert!(expected.is_ok());
        assert_eq!(P256Key::from_pem(&KEY.replace('\n', "")), expected);
        assert_eq!(P256Key::from_pem(&KEY.replace('\n', "\r\n")), expected);
    }

    #[test]
    fn everything_else_is_no_key() {
        let off_the_curve = KEY.replace("ysiL", "zsiL");
        let certificate = KEY.replace("PUBLIC KEY", "CERTIFICATE");
        let other_curve = KEY.replace("DAQcD", "DAQgD");
        let short = KEY.replace("PQ==\n", "\n");
        for text in
            ["", PEM_BEGIN, PEM_END, "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----", &off_the_curve]
        {
            assert_eq!(P256Key::from_pem(text), Err(PublicKeyError), "{text}");
        }
        for text in [certificate, other_curve, short] {
            assert_eq!(P256Key::from_pem(&text), Err(PublicKeyError), "{text}");
        }
    }
}
