//! JSON Web Tokens (RFC 7519, with the advice of RFC 8725): signature and time. jsonwebtoken takes a token apart; ring
//! verifies it, through a provider that knows three algorithms and cannot sign.

use std::sync::Once;

use credvault_crypto::PublicKey;
use credvault_domain::Present;
use jsonwebtoken::crypto::{self, CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as LibraryError, ErrorKind};
use jsonwebtoken::signature::{Error as SignatureFailure, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, decode_header};

use crate::claims::{Claims, Json, seconds_at};
use crate::jwks::{Key, public_key};
use crate::token_error::TokenError;

/// The largest accepted token.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// The accepted difference between the issuer's clock and ours.
const LEEWAY_SECONDS: i64 = 30;

/// The token of an authorization header.
pub(crate) fn bearer(header: &str) -> Result<&str, TokenError> {
    let (scheme, token) = header.split_once(' ').ok_or(TokenError::Scheme)?;
    let single = !token.is_empty() && !token.contains([' ', ',']);
    if scheme.eq_ignore_ascii_case("bearer") && single { Ok(token) } else { Err(TokenError::Scheme) }
}

/// The unverified header of a token. Use it only to find the key.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow: every other error means a malformed token"
)]
pub(crate) fn header(token: &str) -> Result<Header, TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::Malformed);
    }
    let header = decode_header(token).map_err(|error| match error.kind() {
        // The algorithm "none" and others that the library does not know.
        ErrorKind::Json(_) | ErrorKind::InvalidAlgorithmName => TokenError::Algorithm,
        _ => TokenError::Malformed,
    })?;
    if header.crit.is_some() { Err(TokenError::Critical) } else { Ok(header) }
}

/// The unverified claims of a token. Use them only to find the key, until [`verify`] has checked the signature.
pub(crate) fn claims(token: &str) -> Result<Claims, TokenError> {
    if token.split('.').count() != 3 {
        return Err(TokenError::Malformed);
    }
    let json: Json =
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| TokenError::Malformed)?;
    match json {
        Json { repeats: true, .. } => Err(TokenError::Repeated),
        Json { value: serde_json::Value::Object(claims), .. } => Ok(claims),
        Json { .. } => Err(TokenError::Malformed),
    }
}

/// The issuer that claims name.
pub(crate) fn issuer(claims: &Claims) -> Result<&str, TokenError> {
    let issuer = claims.get("iss").and_then(|issuer| issuer.as_str());
    issuer.ok_or_else(|| TokenError::ClaimMissing("iss".to_owned()))
}

/// Verifies a token's signature with its key. Trust the claims only after this.
pub(crate) fn verify(token: &str, header: &Header, key: &Key) -> Result<(), TokenError> {
    // The key decides the algorithm. A token that chose it could have an RSA public key used as an HMAC secret.
    if header.alg != key.algorithm {
        return Err(TokenError::Algorithm);
    }
    install();
    // Only the signature: our own code checks times and audience against the clock that it was given, so one reader reads
    // every claim.
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    match crypto::verify(signature, message.as_bytes(), &key.decoding, key.algorithm) {
        Ok(true) => Ok(()),
        Ok(false) => Err(TokenError::Signature),
        Err(error) if *error.kind() == ErrorKind::InvalidAlgorithm => Err(TokenError::Algorithm),
        Err(_) => Err(TokenError::Malformed),
    }
}

/// Checks `exp`, `nbf` and `iat`, and that the token is valid for at most `max_lifetime` seconds.
pub(crate) fn check_times(claims: &Claims, max_lifetime: i64, present: Present) -> Result<(), TokenError> {
    let required =
        |name: &str| seconds_at(claims, name).ok_or_else(|| TokenError::ClaimMissing(name.to_owned()));
    let (expires, issued) = (required("exp")?, required("iat")?);
    let begins = if claims.contains_key("nbf") { required("nbf")?.max(issued) } else { issued };
    if expires.saturating_add(LEEWAY_SECONDS) <= present.latest.seconds() {
        return Err(TokenError::Expired);
    }
    if expires < issued {
        return Err(TokenError::Backwards);
    }
    if begins.saturating_sub(LEEWAY_SECONDS) > present.earliest.seconds() {
        return Err(TokenError::NotYetValid);
    }
    let seconds = expires.saturating_sub(issued);
    if seconds > max_lifetime {
        return Err(TokenError::TooLong { seconds, allowed: max_lifetime });
    }
    Ok(())
}

/// Installs our provider into jsonwebtoken, which has a global one.
fn install() {
    static INSTALLED: Once = Once::new();
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: no_signer,
        verifier_factory: verifier,
        // Only used to compute JWKs from private keys, which we never do.
        key_utils: KeyUtils::new_unimplemented(),
    };
    // A second installation fails and changes nothing, which is fine: tests may have done it.
    INSTALLED.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, LibraryError> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, LibraryError> {
    let key = public_key(*algorithm, key).ok_or(ErrorKind::InvalidAlgorithm)?;
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key }))
}

struct RingVerifier {
    algorithm: Algorithm,
    key: PublicKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureFailure> {
        self.key.verify(message, signature).map_err(|_| SignatureFailure::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
