//! Issuers of tokens, for valid tokens and for forged ones that a verifier must refuse.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents as RsaComponents;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use serde_json::{Value, json};

/// The signature algorithm of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RS256).
    Rs256,
    /// ECDSA on P-256 with SHA-256 (ES256).
    Es256,
    /// EdDSA on the curve Ed25519.
    EdDsa,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// An issuer of tokens with one key.
pub struct TokenIssuer {
    key: Key,
    kid: String,
}

/// A 2048-bit RSA key that protects nothing.
const RSA_KEY: &str = include_str!("rsa-test-key.b64");

/// An issuer with an RSA key. It is always the same key, because ring cannot generate RSA keys.
pub fn rsa_issuer(kid: &str) -> TokenIssuer {
    let der = base64::engine::general_purpose::STANDARD.decode(RSA_KEY.replace('\n', "")).unwrap();
    TokenIssuer { key: Key::Rsa(Box::new(RsaKeyPair::from_pkcs8(&der).unwrap())), kid: kid.to_owned() }
}

/// The fixed RSA key in PEM, as a service account's file has one.
#[cfg(feature = "google-kms")]
pub(crate) fn rsa_private_key_pem() -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", RSA_KEY.trim_end())
}

/// Whether the fixed RSA key has signed this JWT with RS256.
#[cfg(feature = "google-kms")]
pub(crate) fn is_signed_by_rsa_key(token: &str) -> bool {
    let Some((input, tag)) = token.rsplit_once('.') else { return false };
    let Ok(tag) = URL_SAFE_NO_PAD.decode(tag) else { return false };
    let Key::Rsa(key) = rsa_issuer("").key else { return false };
    let public = signature::UnparsedPublicKey::new(
        &signature::RSA_PKCS1_2048_8192_SHA256,
        key.public().as_ref().to_vec(),
    );
    public.verify(input.as_bytes(), &tag).is_ok()
}

impl TokenIssuer {
    /// An issuer with a new key (RSA: the fixed one).
    pub fn new(algorithm: Algorithm, kid: &str) -> Self {
        let random = SystemRandom::new();
        let key = match algorithm {
            Algorithm::Rs256 => return rsa_issuer(kid),
            Algorithm::Es256 => {
                let scheme = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
                Key::Ecdsa(Box::new(EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref(), &random).unwrap()))
            }
            Algorithm::EdDsa => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                Key::Ed25519(Box::new(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()))
            }
        };
        Self { key, kid: kid.to_owned() }
    }

    fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Rsa(_) => "RS256",
            Key::Ecdsa(_) => "ES256",
            Key::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.key {
            Key::Rsa(key) => {
                let public = RsaComponents::<Vec<u8>>::from(key.public());
                json!({ "kty": "RSA", "n": encode(&public.n), "e": encode(&public.e) })
            }
            Key::Ecdsa(key) => {
                let point = key.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) })
            }
            Key::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref()) })
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.algorithm());
        jwk["use"] = json!("sig");
        jwk
    }

    /// The public key, as the bytes of its DER or JWK, whichever a confused verifier would use as an HMAC key.
    pub fn public_bytes(&self) -> Vec<u8> {
        match &self.key {
            Key::Rsa(key) => key.public().as_ref().to_vec(),
            Key::Ecdsa(key) => key.public_key().as_ref().to_vec(),
            Key::Ed25519(key) => key.public_key().as_ref().to_vec(),
        }
    }

    /// A key set with this key.
    pub fn jwks(&self) -> String {
        json!({ "keys": [self.jwk()] }).to_string()
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with_header(&json!({ "alg": self.algorithm(), "kid": self.kid, "typ": "JWT" }), claims)
    }

    /// A token whose claims are this text, word for word: duplicates and all.
    pub fn token_of_text(&self, claims: &str) -> String {
        let header = json!({ "alg": self.algorithm(), "kid": self.kid, "typ": "JWT" }).to_string();
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        self.signed(input)
    }

    /// A token with this header and these claims, signed with this issuer's key whatever the header says.
    pub fn token_with_header(&self, header: &Value, claims: &Value) -> String {
        self.signed(signing_input(header, claims))
    }

    fn signed(&self, input: String) -> String {
        let signature = match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let random = SystemRandom::new();
                key.sign(&signature::RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature).unwrap();
                signature
            }
            Key::Ecdsa(key) => key.sign(&SystemRandom::new(), input.as_bytes()).unwrap().as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(input.as_bytes()).as_ref().to_vec(),
        };
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token without a signature: `alg` none.
    pub fn unsigned(claims: &Value) -> String {
        format!("{}.", signing_input(&json!({ "alg": "none", "typ": "JWT" }), claims))
    }

    /// A token that is "signed" with HMAC under this issuer's public key.
    pub fn confused(&self, claims: &Value) -> String {
        let input = signing_input(&json!({ "alg": "HS256", "kid": self.kid, "typ": "JWT" }), claims);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.public_bytes());
        let tag = ring::hmac::sign(&key, input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    }
}

fn signing_input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}
