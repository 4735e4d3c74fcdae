//! The reasons for which a bearer token is refused. None of them repeats the token or a value in it.

/// The reason why a token is refused, with enough detail to correct the caller.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The header holds no bearer token.
    #[error("the authorization header must be `Bearer` and one JWT")]
    Scheme,
    /// The token is not a signed JWT.
    #[error("it is not a signed JWT of at most 8 KiB")]
    Malformed,
    /// The issuer of the token is not configured.
    #[error("its issuer (iss) is not a configured one")]
    UnknownIssuer,
    /// No key of the issuer has the token's key id.
    #[error("its issuer has no key with its key id (kid)")]
    UnknownKey,
    /// The token names another algorithm than its key has.
    #[error("its algorithm is not the one that its key is for; RS256, ES256 and EdDSA are accepted")]
    Algorithm,
    /// The header has critical extensions, none of which we implement.
    #[error("its header has critical extensions (crit), which are not supported")]
    Critical,
    /// The signature of the token does not verify.
    #[error("its signature does not verify")]
    Signature,
    /// A claim appears twice, so that two readers could read different values.
    #[error("it has the same claim twice")]
    Repeated,
    /// A required claim is missing.
    #[error("the claim {0} is missing or has another type")]
    ClaimMissing(String),
    /// The token has expired.
    #[error("it has expired")]
    Expired,
    /// The token is not valid yet.
    #[error("it is not valid yet; check the clocks")]
    NotYetValid,
    /// The token expires before it was issued.
    #[error("it expires (exp) before it was issued (iat)")]
    Backwards,
    /// The token is valid for longer than the issuer's configured limit.
    #[error("it is valid for {seconds} s; this issuer's tokens may live for {allowed} s")]
    TooLong {
        /// The seconds from `iat` to `exp`.
        seconds: i64,
        /// The configured limit in seconds.
        allowed: i64,
    },
    /// The token is meant for another audience.
    #[error("its audience ({0}) is not this vault")]
    Audience(String),
    /// The assertion is bound to another service.
    #[error("it is an assertion for another service: act.sub must be the SPIFFE ID of the calling service")]
    Actor,
    /// A claim breaks the rule of its value.
    #[error("the claim {claim} {rule}")]
    Claim {
        /// The path of the claim.
        claim: String,
        /// The rule, as the end of a sentence about the claim.
        rule: String,
    },
}
