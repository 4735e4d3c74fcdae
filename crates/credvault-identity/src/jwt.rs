//! JSON Web Tokens (RFC 7519, with the advice of RFC 8725): signature and time. jsonwebtoken takes a token apart; ring
//! verifies it, through a provider that knows three algorithms and cannot sign.

use std::sync::Once;

use credvault_crypto::PublicKey;
use jsonwebtoken::crypto::{self, CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as LibraryError, ErrorKind};
use jsonwebtoken::signature::{Error as SignatureFailure, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, decode_header};

use crate::claims::{Claims, Json, seconds_at};
use crate::jwks::{Key, public_key};
use credvault_domain::Present;

/// The largest token that is looked at.
const MAX_BYTES: usize = 8 * 1024;
/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 30;

/// Why a token is refused. Says enough to mend the caller, nothing of the token.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is not a bearer token.
    #[error("the authorization header must be `Bearer` and one JWT")]
    Scheme,
    /// It is not a signed JWT.
    #[error("it is not a signed JWT of at most 8 KiB")]
    Malformed,
    /// Its issuer is not configured.
    #[error("its issuer (iss) is not a configured one")]
    UnknownIssuer,
    /// No key of its issuer has its key id.
    #[error("its issuer has no key with its key id (kid)")]
    UnknownKey,
    /// Its algorithm is not its key's.
    #[error("its algorithm is not the one that its key is for; RS256, ES256 and EdDSA are accepted")]
    Algorithm,
    /// Its header demands what we do not understand.
    #[error("its header has critical extensions (crit), which are not supported")]
    Critical,
    /// Its signature does not verify.
    #[error("its signature does not verify")]
    Signature,
    /// A name stands twice in its claims.
    #[error("a claim stands twice in it, so it says two things")]
    Repeated,
    /// A claim is missing.
    #[error("the claim {0} is missing or has another type")]
    ClaimMissing(String),
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It is not valid yet.
    #[error("it is not valid yet; check the clocks")]
    NotYetValid,
    /// It ends before it begins.
    #[error("it expires (exp) before it was issued (iat)")]
    Backwards,
    /// It lives for too long.
    #[error("it is valid for {seconds} s; this issuer's tokens may live for {allowed} s")]
    TooLong {
        /// From `iat` to `exp`.
        seconds: i64,
        /// The configured limit.
        allowed: i64,
    },
    /// It is meant for somebody else.
    #[error("its audience ({0}) is not this vault")]
    Audience(String),
    /// It is bound to another service.
    #[error("it is an assertion for another service: act.sub must be the SPIFFE ID of the calling service")]
    Actor,
    /// A claim breaks the rule of what it holds.
    #[error("the claim {claim} {rule}")]
    Claim {
        /// Which claim.
        claim: String,
        /// The rule.
        rule: String,
    },
}

/// The token of an authorization header.
pub(crate) fn bearer(header: &str) -> Result<&str, TokenError> {
    let (scheme, token) = header.split_once(' ').ok_or(TokenError::Scheme)?;
    let single = !token.is_empty() && !token.contains([' ', ',']);
    if scheme.eq_ignore_ascii_case("bearer") && single { Ok(token) } else { Err(TokenError::Scheme) }
}

/// The header of a token, unverified: only to find the key with.
pub(crate) fn header(token: &str) -> Result<Header, TokenError> {
    if token.len() > MAX_BYTES {
        return Err(TokenError::Malformed);
    }
    let header = decode_header(token).map_err(|error| match error.kind() {
        // "none" and other names that the library does not know.
        ErrorKind::Json(_) | ErrorKind::InvalidAlgorithmName => TokenError::Algorithm,
        _ => TokenError::Malformed,
    })?;
    if header.crit.is_some() { Err(TokenError::Critical) } else { Ok(header) }
}

/// What a token claims, unverified: only to find the key with, until [`verify`] has held that against the signature.
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

/// Verifies a token's signature with its key. Only then its claims count.
pub(crate) fn verify(token: &str, header: &Header, key: &Key) -> Result<(), TokenError> {
    if header.alg != key.algorithm {
        return Err(TokenError::Algorithm);
    }
    install();
    // The signature alone: times and audience are checked by us, against the clock that was handed in, and every claim is
    // read once, by one reader.
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    match crypto::verify(signature, message.as_bytes(), &key.decoding, key.algorithm) {
        Ok(true) => Ok(()),
        Ok(false) => Err(TokenError::Signature),
        Err(error) if *error.kind() == ErrorKind::InvalidAlgorithm => Err(TokenError::Algorithm),
        Err(_) => Err(TokenError::Malformed),
    }
}

/// Checks `exp`, `nbf` and `iat`, and that the token does not live for longer than `max_lifetime` seconds.
pub(crate) fn check_times(claims: &Claims, max_lifetime: i64, present: Present) -> Result<(), TokenError> {
    let required =
        |name: &str| seconds_at(claims, name).ok_or_else(|| TokenError::ClaimMissing(name.to_owned()));
    let (expires, issued) = (required("exp")?, required("iat")?);
    let begins = if claims.contains_key("nbf") { required("nbf")?.max(issued) } else { issued };
    if expires.saturating_add(LEEWAY) <= present.latest.seconds() {
        return Err(TokenError::Expired);
    }
    if expires < issued {
        return Err(TokenError::Backwards);
    }
    if begins.saturating_sub(LEEWAY) > present.earliest.seconds() {
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
