//! Private keys that sign JSON Web Tokens (RFC 7518): RSA and P-256, read from PEM or from a JWK (RFC 7517). They make
//! the assertions by which a client proves who it is (RFC 7523). Knows nothing of a token's claims.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::mac::sha256;

mod error;
mod pair;
mod pem;

pub use error::KeyError;
use pair::{Pair, p256, p256_of_pkcs8};

/// The algorithm of a signature, by its name in RFC 7518.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (section 3.3).
    Rs256,
    /// RSASSA-PSS with SHA-256 (section 3.5).
    Ps256,
    /// ECDSA on P-256 with SHA-256; a signature is r and s, 32 bytes each.
    Es256,
}

impl SigningAlgorithm {
    /// The name in the header of a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
        }
    }

    /// The algorithm of this name; `None` for those that no key signs with here.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Rs256, Self::Ps256, Self::Es256].into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// A private key that signs, and the names by which a verifier finds its public half.
pub struct SigningKey {
    pair: Pair,
    key_id: Option<String>,
    /// SHA-256 of the certificate's DER, in Base64url: the header `x5t#S256` (RFC 7515, section 4.1.8).
    thumbprint: Option<String>,
    /// The only algorithm that the key may be used with, if its JWK says so.
    only: Option<SigningAlgorithm>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a private key: PEM in PKCS #8, PKCS #1 or SEC 1, or a JWK with its private members. A certificate in the same
    /// PEM text gives the thumbprint. Escaped and missing line breaks are accepted, because people paste keys from JSON and
    /// into one line.
    ///
    /// # Errors
    /// The rule that the key breaks.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        match text.starts_with('{') {
            true => Self::of_jwk(text),
            false => {
                let (pair, certificate) = pem::read(text)?;
                let thumbprint = certificate.map(|der| URL_SAFE_NO_PAD.encode(sha256(&[&der])));
                Ok(Self { pair, key_id: None, thumbprint, only: None })
            }
        }
    }

    /// A new key on P-256, in PEM, and its public half as a JWK with this key id.
    ///
    /// # Errors
    /// The generator fails.
    pub fn generate(key_id: &str) -> Result<(SecretString, Map<String, Value>), KeyError> {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(|_| KeyError::Broken)?;
        let body = Zeroizing::new(STANDARD.encode(der.as_ref()));
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", body.as_str());
        let pair = p256_of_pkcs8(der.as_ref())?;
        let point = pair.public_key().as_ref().strip_prefix(&[4]).unwrap_or_default();
        let (x, y) = point.split_at_checked(32).ok_or(KeyError::Broken)?;
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key_id,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        });
        let members = jwk.as_object().cloned().unwrap_or_default();
        Ok((pem.into(), members))
    }

    fn of_jwk(text: &str) -> Result<Self, KeyError> {
        let jwk: Value = serde_json::from_str(text).map_err(|_| KeyError::NotJwk)?;
        let text = |name: &str| jwk.get(name).and_then(Value::as_str).map(str::to_owned);
        let bytes = |name: &str| {
            let encoded = jwk.get(name).and_then(Value::as_str).ok_or(KeyError::NotJwk)?;
            URL_SAFE_NO_PAD.decode(encoded).map(Zeroizing::new).map_err(|_| KeyError::NotJwk)
        };
        if text("kty").is_some() && text("d").is_none() {
            return Err(KeyError::Public);
        }
        let pair = match (text("kty").as_deref(), text("crv").as_deref()) {
            (Some("RSA"), _) => {
                let public_key = PublicKeyComponents { n: bytes("n")?, e: bytes("e")? };
                let (d, p, q) = (bytes("d")?, bytes("p")?, bytes("q")?);
                let (d_p, d_q, q_inv) = (bytes("dp")?, bytes("dq")?, bytes("qi")?);
                let components = KeyPairComponents { public_key, d, p, q, dP: d_p, dQ: d_q, qInv: q_inv };
                Pair::Rsa(Box::new(RsaKeyPair::from_components(&components).map_err(error::rejected)?))
            }
            (Some("EC"), Some("P-256")) => {
                p256(&bytes("d")?, &[&[4][..], &bytes("x")?, &bytes("y")?].concat())?
            }
            _ => return Err(KeyError::Kind),
        };
        let only = text("alg").map(|name| SigningAlgorithm::named(&name).ok_or(KeyError::Algorithm));
        Ok(Self { pair, key_id: text("kid"), thumbprint: text("x5t#S256"), only: only.transpose()? })
    }

    /// The `kid` of the JWK, if it has one.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The certificate's thumbprint, as the header `x5t#S256` has it.
    pub fn thumbprint(&self) -> Option<&str> {
        self.thumbprint.as_deref()
    }

    /// The first of `accepted` that the key signs with.
    ///
    /// # Errors
    /// It signs with none of them.
    pub fn algorithm(&self, accepted: &[SigningAlgorithm]) -> Result<SigningAlgorithm, KeyError> {
        let fits = |algorithm: &SigningAlgorithm| {
            let kind = match (&self.pair, algorithm) {
                (Pair::Rsa(_), SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256)
                | (Pair::P256(_), SigningAlgorithm::Es256) => true,
                (Pair::Rsa(_), SigningAlgorithm::Es256)
                | (Pair::P256(_), SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256) => false,
            };
            kind && self.only.is_none_or(|only| only == *algorithm)
        };
        accepted.iter().copied().find(fits).ok_or(match (&self.pair, self.only) {
            (_, Some(_)) => KeyError::Algorithm,
            (Pair::P256(_), None) => KeyError::NotRsa,
            (Pair::Rsa(_), None) => KeyError::NotP256,
        })
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// The key is of another kind than the algorithm, or its parts do not belong together.
    pub fn sign(&self, algorithm: SigningAlgorithm, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        let by_rsa = |pair: &RsaKeyPair, padding: &'static dyn RsaEncoding| {
            let mut signed = vec![0; pair.public().modulus_len()];
            // PKCS #1 signatures are deterministic; ring's own randomness blinds the computation.
            pair.sign(padding, &random, message, &mut signed).map_err(|_| KeyError::Broken)?;
            Ok(signed)
        };
        match (&self.pair, algorithm) {
            (Pair::Rsa(pair), SigningAlgorithm::Rs256) => by_rsa(pair, &signature::RSA_PKCS1_SHA256),
            (Pair::Rsa(pair), SigningAlgorithm::Ps256) => by_rsa(pair, &signature::RSA_PSS_SHA256),
            (Pair::P256(pair), SigningAlgorithm::Es256) => {
                let signed = pair.sign(&random, message).map_err(|_| KeyError::Broken)?;
                Ok(signed.as_ref().to_vec())
            }
            (Pair::P256(_), SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256) => Err(KeyError::NotRsa),
            (Pair::Rsa(_), SigningAlgorithm::Es256) => Err(KeyError::NotP256),
        }
    }
}

#[cfg(test)]
mod tests;
